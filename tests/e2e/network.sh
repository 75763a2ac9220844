# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A bad network before the registry, see tools/cut-proxy.py; sourced after functions.sh

# shellcheck disable=SC2034 # for the tests
PROXY=127.0.0.1:5100

# start_network: PROXY leads to REGISTRY
start_network() {
    mkdir network
    echo '{}' >network/plan
    python3 "$VT_E2E_DIR/../tools/cut-proxy.py" "${PROXY##*:}" "${REGISTRY##*:}" network 3>&- \
        >>"$LOGS/proxy.log" 2>&1 &
    PROXY_PID=$!
    wait_daemon proxy $PROXY_PID curl -s -o ping "http://$PROXY/v2/"
}

# network PLAN: from now on it is like that. Prints what was seen until now
network() {
    echo "$1" >network/plan
    rm -f network/loaded
    kill -HUP "$PROXY_PID"
    wait_until 5 test -s network/loaded || fail 'the proxy does not answer'
    cat network/loaded
}

# seen WHAT: of what finish() has kept
seen() {
    jq ".$1" network/last
}

# seen_now WHAT: since the plan came
seen_now() {
    kill -USR1 "$PROXY_PID"
    sleep 0.05
    jq ".$1" network/report
}

# finish: the network is a good one; what was seen is kept for seen()
finish() {
    network '{}' >network/last
    cat network/last
}
