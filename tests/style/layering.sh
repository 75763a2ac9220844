#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# layering.sh BUILD_DIR: who may use what, read from symbols, libraries and includes
set -euo pipefail
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
build=$1

# ---- core is pure: no file, clock, network, process, environment or log -------------------------

pure_breach='open|openat|creat|read|write|pread|pwrite|readv|writev|stat|lstat|fstat|fstatat|access'
pure_breach+='|mmap|unlink|rename|mkdir|link|fopen|fdopen|fread|fwrite|fprintf|printf|puts|fputs'
pure_breach+='|vprintf|vfprintf|syslog|perror|socket|connect|bind|listen|accept|send|recv'
pure_breach+='|getaddrinfo|exec[lv]p?e?|fork|vfork|posix_spawn|system|popen|kill'
pure_breach+='|getenv|secure_getenv|setenv|time|gettimeofday|clock_gettime|getuid|geteuid|rand|random'
pure_breach+='|getrandom|pthread_.*|json_(load|dump)_?(file|fd|f)'
pure_breach+='|curl_.*|EVP_.*|SSL_.*|RAND_.*|ZSTD_.*|sqlite3_.*|vir[A-Z].*'
pure_breach+='|g_(file|spawn|subprocess|socket|dbus|thread|timer|random|io_channel|mapped_file)_.*'
pure_breach+='|g_(open|fopen|stat|unlink|rename|mkdir|getenv|setenv|print|printerr|log|message)'
pure_breach+='|g_(get_(real|monotonic)_time|get_home_dir|date_time_new_now.*|log_structured.*)'

# impure_symbols OBJECT: what it needs from outside and must not; fortified and 64-bit names too
impure_symbols() {
    nm -u "$1" | awk 'NF == 2 && $1 == "U" {print $2}' | sort -u |
        grep -xE "(__)?($pure_breach)(64)?(_2|_chk)?" || [ $? = 1 ]
}

core=$build/helper/core/libvt-core.a
[ -f "$core" ] || refuse "$core is not built"
for symbol in $(impure_symbols "$core"); do
    refuse "helper/core is pure, but calls $symbol()"
done

# The gate itself: code that is not pure has to be seen
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
cat >"$probe/probe.c" <<'END'
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
int probe(void);
int probe(void) { return open(getenv("HOME"), O_RDONLY) + (int)time(NULL); }
END
cc -c -o "$probe/probe.o" "$probe/probe.c"
[ "$(impure_symbols "$probe/probe.o" | wc -l)" = 3 ] || refuse "this gate does not see impure code"

# ---- the module in libvirtd: no network, cryptography, image or JSON libraries ------------------

forbidden_in_driver='lib(crypto|ssl|curl|zstd|jansson|sqlite3|archive)\.so'
modules=$(find "$build/driver" -name '*.so' 2>/dev/null || :)
for module in $modules; do
    for library in $(readelf -d "$module" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'); do
        ! grep -qE "$forbidden_in_driver" <<<"$library" || refuse "$module is linked with $library"
    done
    # glib autoptr helpers are static; a vt_ symbol would be core or store linked in
    for symbol in $(nm "$module" | awk '$NF ~ /^vt_/ {print $NF}'); do
        refuse "$module carries $symbol of helper/"
    done
done

# ---- who runs with capabilities does not speak HTTP or decode; who decodes does nothing else ------

# without PROGRAM LIBRARIES: the program exists and is linked with none of these
without() {
    local program=$build/helper/daemon/$1 library
    [ -f "$program" ] || refuse "$program is not built"
    for library in $(readelf -d "$program" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'); do
        ! grep -qE "lib($2)\.so" <<<"$library" || refuse "$1 is linked with $library"
    done
}
without virttemplated 'curl|ssl|zstd|archive'
without fetch-worker 'zstd|sqlite3|gio-2\.0'
without seed-worker 'curl|ssl|crypto|zstd|sqlite3|gio-2\.0'
without upload-worker 'curl|ssl|crypto|zstd|sqlite3|gio-2\.0'
without unpack-worker 'curl|ssl|jansson|sqlite3|gio-2\.0'
without copy-worker 'curl|ssl|zstd|jansson|sqlite3|gio-2\.0'

# functions PROGRAM REGEX: those that it has, or takes from a library
functions() {
    nm "$build/helper/daemon/$1" |
        awk '$(NF - 1) ~ /^[TU]$/ {sub(/@.*/, "", $NF); print $NF}' | grep -xE "$2" || [ $? = 1 ]
}

# Compressed data, HTTP and TLS, archives, images, XML and YAML of guests: only in workers
foreign='(ZSTD|curl|SSL|archive|yaml|iso|inflate)_.*|xml[A-Z].*'
foreign+='|vt_(http|registry|frame_decoder|unpack|ring_server|iso|floppy|yaml|unattend)_.*'
foreign+='|vt_(instance_parse|upload_read|layout_open)'
for symbol in $(functions virttemplated "$foreign"); do
    refuse "virttemplated runs with capabilities, but has the parser $symbol()"
done
# The gate itself: the workers have what it looks for
while read -r program symbol; do
    [ "$(functions "$program" "$symbol")" = "$symbol" ] ||
        refuse "this gate does not see $symbol() in $program"
done <<'END'
unpack-worker ZSTD_decompressDCtx
fetch-worker curl_multi_perform
seed-worker vt_instance_parse
seed-worker yaml_parser_parse
upload-worker archive_read_next_header
END

# What the daemon does read itself, and from whom. Another parser is a decision, which is made here.
parsers_of_daemon='
    # signed, or named by a digest that is: looked at only when that has been checked
    vt_catalog_parse vt_index_parse vt_manifest_parse vt_payload_parse vt_template_config_parse
    # what proves it: not yet trusted. JSON of at most 4 MiB, base64, DER of a key and a signature
    vt_base64_decode vt_base64_decode_any vt_bundle_parse vt_index_manifests_parse vt_json_parse
    vt_key_parse_private vt_key_parse_public
    # the header of a disk that a guest may write to: 104 bytes and what they point at
    vt_qcow2_parse
    # names of files in a pool, which root alone can write to
    vt_pool_parse_file
    # settings, registries.conf of root among them, and arguments
    vt_digest_parse vt_toml_parse vt_policy_parse vt_rate_parse vt_reference_parse vt_size_parse
    vt_store_url_parse vt_volume_name_parse'
for symbol in $(functions virttemplated 'vtd?_.*(_parse|_decode).*'); do
    grep -vE '^ *#' <<<"$parsers_of_daemon" | grep -qwF "$symbol" ||
        refuse "virttemplated has a parser that is not in the list of $0: $symbol()"
done

# ---- one outside thing in each file: who may include what ---------------------------------------

# include_only REGEX_OF_INCLUDE REGEX_OF_FILES
include_only() {
    local file
    for file in $(c_files | xargs grep -lE "#include <($1)" || [ $? = 123 ]); do
        grep -qxE "($2)" <<<"$file" || refuse "$file must not include <$1>"
    done
}

tests='tests/(unit|fuzz|bench|crash)/.*'
include_only 'openssl/' "helper/store/[a-z]+/vt-(openssl|digest|hash|sha256|key|sign|signature|verify|trust|cosign|http-tls).*|$tests"
include_only 'curl/' "helper/store/[a-z]+/vt-(http|fetch|curl).*|$tests"
include_only 'zstd' "helper/store/[a-z]+/vt-(zstd|encode|unpack|frame).*|$tests"
include_only 'sqlite3' "helper/store/[a-z]+/vt-(state|db|sqlite).*|$tests"
include_only 'yaml' "helper/core/value/vt-yaml.*|$tests"
include_only 'lib(isofs|burn)/' "helper/store/guest/vt-iso.*|$tests"
include_only 'jansson' "helper/(core|store|cli)/.*|$tests"
include_only 'archive' "helper/cli/image/vtc-initramfs.*|helper/store/guest/vt-upload.c|$tests"
include_only 'gio/|glib/gstdio|unistd|fcntl|sys/socket' \
    "helper/(store|daemon|cli|hook|session)/.*|driver/.*|$tests"
include_only 'libvirt/|virterror' "driver/.*|helper/cli/.*|$tests"

verdict
