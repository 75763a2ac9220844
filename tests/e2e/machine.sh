# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemons, stores and pools of the private machine, for the tests, the demo and the bench.
# Who sources this has a function `fail MESSAGE`, which ends the script.

LOGS=$VT_SCRATCH/logs
SOCKET=/run/libvirt/virttemplated-sock
POLICY=/etc/virt-template/policy.json
# How long a daemon may take until it answers; a loaded machine needs some seconds
DAEMON_WAIT_S=20
export LIBVIRT_DEFAULT_URI=qemu:///system
export TMPDIR=$VT_SCRATCH

# A missing program is a failure: nothing is skipped in silence
requires() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "this test needs the program '$program'"
    done
}

# wait_until SECONDS COMMAND...
wait_until() {
    local tries=$(($1 * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

# wait_daemon NAME PID COMMAND...: until it answers; a daemon that ended is not waited for
wait_daemon() {
    local name=$1 pid=$2 tries=$((DAEMON_WAIT_S * 20))
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ -d "/proc/$pid" ] || fail "$name ended at its start"
        [ $tries -gt 0 ] || fail "$name does not answer within $DAEMON_WAIT_S s"
        sleep 0.05
    done
}

# stop_pid PID: ends a child of this script and waits until it is gone
stop_pid() {
    kill -TERM "$1"
    wait "$1" 2>/dev/null || :  # its exit status after TERM says nothing
}

# fds PID: how many descriptors it has open
fds() {
    find "/proc/$1/fd" -mindepth 1 | wc -l
}

# rss PID: its memory, KiB
rss() {
    awk '$1 == "VmRSS:" {print $2}' "/proc/$1/status"
}

# ---- the installed build -----------------------------------------------------------------------

# Where the build put a file: installed FILE
installed() {
    local found
    found=$(find "$VT_STAGE" -name "$1" -print -quit)
    [ -n "$found" ] || fail "the build does not install '$1'"
    echo "${found#"$VT_STAGE"}"
}

# ---- libvirtd ----------------------------------------------------------------------------------

LIBVIRTD_PID=

vt_libvirtd_conf() {
    cat <<END
listen_tls = 0
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "2:file:$LOGS/libvirtd.log"
END
}

# start_libvirtd [--stock]: Debian's libvirtd with our backend folder, or as it comes
start_libvirtd() {
    local backend settings=()
    [ -z "$LIBVIRTD_PID" ] || fail "libvirtd runs already"
    if [ "${1:-}" != --stock ]; then
        backend=$(installed libvirt_storage_backend_fs.so)
        settings=(LIBVIRT_STORAGE_BACKEND_DIR="$(dirname "$backend")")
    fi
    vt_libvirtd_conf >/etc/libvirt/libvirtd.conf
    env "${settings[@]}" libvirtd -f /etc/libvirt/libvirtd.conf 3>&- >>"$LOGS/libvirtd.out" 2>&1 &
    LIBVIRTD_PID=$!
    wait_daemon libvirtd $LIBVIRTD_PID virsh list
}

stop_libvirtd() {
    stop_pid "$LIBVIRTD_PID"
    LIBVIRTD_PID=
}

restart_libvirtd() {
    stop_libvirtd
    start_libvirtd "$@"
}

# The same process as at the start: nothing made it crash on the way
assert_libvirtd_alive() {
    kill -0 "$LIBVIRTD_PID" 2>/dev/null || fail "libvirtd is gone"
    virsh list >/dev/null
}

# start_virtlogd: needed before a domain can start
start_virtlogd() {
    virtlogd 3>&- >>"$LOGS/virtlogd.out" 2>&1 &
    wait_daemon virtlogd $! test -S /run/libvirt/virtlogd-sock
}

# ---- virttemplated -----------------------------------------------------------------------------

HELPER_PID=

# as_unit COMMAND...: what start_helper runs it by. It gives up power by itself; a test may replace this
as_unit() { exec "$@"; }

# start_helper [ARGUMENT...]
start_helper() {
    local program
    [ -z "$HELPER_PID" ] || fail "virttemplated runs already"
    program=$(installed virttemplated)
    as_unit "$program" "$@" 3>&- >>"$LOGS/virttemplated.log" 2>&1 &
    HELPER_PID=$!
    wait_daemon virttemplated $HELPER_PID test -S $SOCKET
}

stop_helper() {
    stop_pid "$HELPER_PID"
    HELPER_PID=
    rm -f $SOCKET $SOCKET-ro
}

restart_helper() {
    stop_helper
    start_helper "$@"
}

# ---- registry ----------------------------------------------------------------------------------

vt_registry_tls() {
    cat <<END
  tls:
    certificate: $VT_SCRATCH/tls/server.crt
    key: $VT_SCRATCH/tls/server.key
END
}

vt_registry_auth() {
    cat <<END
auth:
  htpasswd:
    realm: templates
    path: $VT_SCRATCH/htpasswd
END
}

# make_authority DIR NAME: DIR/NAME.crt and .key, which sign certificates
make_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$2" \
        -keyout "$1/$2.key" -out "$1/$2.crt" 2>/dev/null
}

# make_certificate DIR NAME AUTHORITY [SUBJECT_ALT_NAME [DAYS]]: DIR/NAME.crt and .key
make_certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
        -keyout "$1/$2.key" -out "$1/$2.csr" 2>/dev/null
    openssl x509 -req -in "$1/$2.csr" -CA "$1/$3.crt" -CAkey "$1/$3.key" -CAcreateserial \
        -days "${5:-2}" ${4:+-extfile <(echo "subjectAltName=$4")} -out "$1/$2.crt" 2>/dev/null
}

# A certificate for 127.0.0.1 and the authority that signed it, tls/ca.crt
vt_registry_certificate() {
    local dir=$VT_SCRATCH/tls
    [ ! -d "$dir" ] || return 0
    mkdir "$dir"
    make_authority "$dir" ca
    make_certificate "$dir" server ca IP:127.0.0.1
}

REGISTRY_USER=publisher
REGISTRY_PASSWORD=s3cret

# start_registry [tls] [auth]: docker-registry on 127.0.0.1. Sets REGISTRY (host:port),
# REGISTRY_PID, REGISTRY_DIR (its files) and REGISTRY_LOG; one registry for each choice.
start_registry() {
    local kind="plain $*" port=5000 scheme=http
    requires docker-registry curl
    [[ $kind != *tls* ]] || { port=$((port + 1)); scheme=https; vt_registry_certificate; }
    [[ $kind != *auth* ]] || port=$((port + 2))
    REGISTRY=127.0.0.1:$port
    REGISTRY_DIR=$VT_SCRATCH/registry-$port
    REGISTRY_LOG=$LOGS/registry-$port.log
    mkdir -p "$REGISTRY_DIR"
    {
        printf 'version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\n' "$REGISTRY_DIR"
        printf '  delete:\n    enabled: true\nhttp:\n  addr: %s\n' "$REGISTRY"
        [[ $kind != *tls* ]] || vt_registry_tls
        [[ $kind != *auth* ]] || vt_registry_auth
    } >"$VT_SCRATCH/registry-$port.yml"
    [[ $kind != *auth* ]] ||
        htpasswd -Bbn $REGISTRY_USER $REGISTRY_PASSWORD >"$VT_SCRATCH/htpasswd"
    docker-registry serve "$VT_SCRATCH/registry-$port.yml" 3>&- >>"$REGISTRY_LOG" 2>&1 &
    REGISTRY_PID=$!
    wait_daemon docker-registry $REGISTRY_PID curl -sk -o "$VT_SCRATCH/ping" "$scheme://$REGISTRY/v2/"
}

stop_registry() {
    stop_pid "$REGISTRY_PID"
}

# ---- images, keys, stores, pools ---------------------------------------------------------------

# make_image SIZE FILE [SEED]: an ext4 disk of SIZE (as for truncate) with text, noise, zeros and
# two equal files; the same SEED gives the same noise
make_image() {
    local size=$1 image=$2 seed=${3:-1} tree
    tree=$(mktemp -d "$VT_SCRATCH/tree.XXXXXX")
    mkdir -p "$tree/etc" "$tree/data"
    cp -r /usr/share/common-licenses "$tree/etc/"
    echo "seed $seed" >"$tree/etc/seed"
    head -c 6M /dev/zero |
        openssl enc -aes-128-ctr -K "$(printf '%032x' "$seed")" -iv 0 >"$tree/data/noise" 2>/dev/null
    cp "$tree/data/noise" "$tree/data/noise-again"
    head -c 3M /dev/zero >"$tree/data/zeros"
    truncate -s "$size" "$image"
    mke2fs -q -t ext4 -E root_owner=0:0 -d "$tree" "$image"
    rm -rf "$tree"
}

# make_key PREFIX: PREFIX.key and PREFIX.pub
make_key() {
    virt-template key generate "$1"
    [ -s "$1.key" ] && [ -s "$1.pub" ]
}

# make_policy KEY.pub...: the policy that trusts any of these keys for every store
make_policy() {
    local paths
    paths=$(printf '"%s",' "$@")
    cat >"$POLICY" <<END
{"default": [{"type": "sigstoreSigned", "keyPaths": [${paths%,}],
              "signedIdentity": {"type": "matchRepository"}}]}
END
}

# make_store STORE KEY: STORE is oci:/path or docker://host:port/prefix
make_store() {
    virt-template store init --store "$1" --key "$2"
}

# publish STORE KEY IMAGE NAME@VERSION [OPTION...]
publish() {
    local store=$1 key=$2 image=$3 name=$4
    shift 4
    virt-template publish "$image" "$name" --store "$store" --key "$key" "$@"
}

# pool_xml NAME STORE [TARGET [MORE_XML]]
pool_xml() {
    cat <<END
<pool type='dir' xmlns:template='urn:virt-template:pool:1'>
  <name>$1</name>
  <target><path>${3:-/var/lib/libvirt/images/$1}</path></target>
  <template:store url='$2'/>
  <template:trust policy='$POLICY'/>${4:+
  $4}
</pool>
END
}

# define_pool NAME STORE [TARGET [MORE_XML]]: a template pool, running
define_pool() {
    pool_xml "$@" >"$VT_SCRATCH/pool-$1.xml"
    virsh pool-define "$VT_SCRATCH/pool-$1.xml"
    virsh pool-build "$1"
    virsh pool-start "$1"
}

# define_dir_pool NAME [TARGET]: a stock pool, running
define_dir_pool() {
    virsh pool-define-as "$1" dir --target "${2:-/var/lib/libvirt/images/$1}"
    virsh pool-build "$1"
    virsh pool-start "$1"
}

# volume_xml NAME [FORMAT [CAPACITY_BYTES]]: for vol-create-from
volume_xml() {
    cat <<END
<volume><name>$1</name><capacity>${3:-0}</capacity>
  <target><format type='${2:-qcow2}'/></target></volume>
END
}

# clone NAME TEMPLATE_VOLUME [POOL [TEMPLATE_POOL]]: vol-create-from into POOL
clone() {
    volume_xml "$1" >"$VT_SCRATCH/volume-$1.xml"
    virsh vol-create-from "${3:-default}" "$VT_SCRATCH/volume-$1.xml" "$2" \
        --inputpool "${4:-templates}"
}

# guest_sha256 FILE [FORMAT]: the digest of what a guest reads from an image
guest_sha256() {
    qemu-img convert -f "${2:-qcow2}" -O raw "$1" "$VT_SCRATCH/guest.raw"
    sha256sum "$VT_SCRATCH/guest.raw" | cut -d' ' -f1
    rm -f "$VT_SCRATCH/guest.raw"
}

# host_with_template STORE: a store of its own with debian@1.0.0, and both daemons with the pools
# `templates` and `default`
host_with_template() {
    make_key golden
    make_policy "$PWD/golden.pub"
    make_image 64M one.img
    make_store "$1" golden.key
    publish "$1" golden.key one.img debian@1.0.0
    start_helper
    start_virtlogd
    start_libvirtd
    define_pool templates "$1"
    define_dir_pool default
}
