#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""fault-registry.py DIR: a registry that misbehaves, on two free ports of 127.0.0.1.

The ports go to DIR/port ("A B"), each request to DIR/log as "PORT METHOD PATH RANGE AUTHORIZATION".
The repository's name says which fault is wanted. Each blob is BLOB.
"""
import json
import os
import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIR = sys.argv[1]
LOCK = threading.Lock()
SEEN = {}
INDEX = 'application/vnd.oci.image.index.v1+json'


BLOB = b''.join(i.to_bytes(4, 'big') for i in range(1 << 18))


def count(key):
    """How often this was asked for, now included"""
    with LOCK:
        SEEN[key] = SEEN.get(key, 0) + 1
        return SEEN[key]


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    # Head and body are two segments: the second would wait for the delayed acknowledgement
    disable_nagle_algorithm = True

    # ---- answers ----

    def whole(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def partial(self, first, last, length=None, content_range=None):
        """206; with `length` bytes of it only, after which the connection is cut"""
        self.send_response(206)
        self.send_header('Content-Range',
                         content_range or f'bytes {first}-{last}/{len(BLOB)}')
        self.send_header('Content-Length', str(last - first + 1))
        self.end_headers()
        self.wfile.write(BLOB[first:last + 1][:length])
        if length is not None:
            self.wfile.flush()
            self.close_connection = True

    def error(self, status, code, headers=()):
        body = json.dumps({'errors': [{'code': code, 'message': 'as ordered'}]}).encode()
        self.whole(status, body, headers)

    def endless(self):
        self.send_response(200)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        try:
            while True:
                self.wfile.write(b'10000\r\n' + b' ' * 65536 + b'\r\n')
        except OSError:
            self.close_connection = True

    def redirect(self, url):
        self.whole(307, b'', [('Location', url)])

    # ---- blobs: the name of the repository is the fault ----

    def blob_good(self, first, last):
        self.partial(first, last)

    def blob_norange(self, first, last):
        self.whole(200, BLOB)

    def blob_norangecut(self, first, last):
        if count('norangecut') > 1:
            self.whole(200, BLOB)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(BLOB)))
        self.end_headers()
        self.wfile.write(BLOB[:100000])
        self.close_connection = True

    def blob_seesaw(self, first, last):
        """The whole blob, cut after 70,000 bytes and after one, in turn"""
        self.send_response(200)
        self.send_header('Content-Length', str(len(BLOB)))
        self.end_headers()
        self.wfile.write(BLOB[:70000 if count('seesaw') % 2 else 1])
        self.close_connection = True

    def blob_norangelong(self, first, last):
        self.whole(200, BLOB + b'more')

    def blob_wrongrange(self, first, last):
        self.partial(first, last, content_range=f'bytes {first + 1}-{last + 1}/{len(BLOB)}')

    def blob_wrongtotal(self, first, last):
        self.partial(first, last, content_range=f'bytes {first}-{last}/{len(BLOB) + 1}')

    def blob_norangeheader(self, first, last):
        self.whole(206, BLOB[first:last + 1])

    def blob_cut(self, first, last):
        if count(('cut', last)) == 1:
            self.partial(first, last, length=(last - first + 1) // 2)
        else:
            self.partial(first, last)

    def blob_halfgone(self, first, last):
        if count(('halfgone', last)) == 1:
            self.partial(first, last, length=(last - first + 1) // 2)
        else:
            self.error(404, 'BLOB_UNKNOWN')

    def blob_stall(self, first, last):
        self.partial(first, last, length=8 << 10)
        self.connection.recv(1)  # until the client has gone

    def blob_cutalways(self, first, last):
        self.partial(first, last, length=1)

    def blob_cutoften(self, first, last):
        self.partial(first, last, length=96 << 10)

    def blob_busyforever(self, first, last):
        self.error(429, 'TOOMANYREQUESTS', [('Retry-After', '3600')])

    def blob_busy(self, first, last):
        if count(('busy', last)) == 1:
            self.error(429, 'TOOMANYREQUESTS', [('Retry-After', '1')])
        else:
            self.partial(first, last)

    def blob_short(self, first, last):
        self.whole(416, b'', [('Content-Range', 'bytes */10')])

    def blob_gone(self, first, last):
        self.error(404, 'BLOB_UNKNOWN')

    def blob_toolong(self, first, last):
        self.send_response(206)
        self.send_header('Content-Range', f'bytes {first}-{last}/{len(BLOB)}')
        self.end_headers()
        self.wfile.write(BLOB[first:last + 1] + b'more')
        self.close_connection = True

    def blob_redirect(self, first, last):
        if not self.headers.get('Authorization'):
            self.whole(401, b'', [('WWW-Authenticate', 'Basic realm="x"')])
            return
        other = PORTS[1] if self.server.server_port == PORTS[0] else PORTS[0]
        self.redirect(f'http://127.0.0.1:{other}/v2/good/blobs/x')

    def blob_loop(self, first, last):
        self.redirect(self.path)

    def blob_ftp(self, first, last):
        self.redirect('ftp://127.0.0.1/x')

    # ---- manifests ----

    def manifest_good(self):
        self.whole(200, b'{}', [('Content-Type', 'x')])

    def manifest_endless(self):
        self.endless()

    def manifest_endlesserror(self):
        self.send_response(400)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        try:
            while True:
                self.wfile.write(b'10000\r\n' + b'x' * 65536 + b'\r\n')
        except OSError:
            self.close_connection = True

    def manifest_busy(self):
        if count('manifest_busy') == 1:
            self.error(503, 'UNAVAILABLE', [('Retry-After', '1')])
        else:
            self.manifest_good()

    def manifest_busyalways(self):
        self.error(503, 'UNAVAILABLE', [('Retry-After', '0')])

    def manifest_busyforever(self):
        self.error(503, 'UNAVAILABLE', [('Retry-After', '3600')])

    def manifest_cut(self):
        self.send_response(200)
        self.send_header('Content-Length', '100')
        self.end_headers()
        self.wfile.write(b'{}')
        self.close_connection = True

    def manifest_denied(self):
        body = b'{"errors":[{"code":"DENIED","message":"\\u001b[31mno\\nway"}]}'
        self.whole(403, body)

    def wants_token(self):
        """Whether the request has none, and was told where to get one: here"""
        if self.headers.get('Authorization') == 'Bearer it':
            return False
        realm = f'Bearer realm="http://127.0.0.1:{PORTS[0]}/v2/{self.path.split("/")[2]}/token/x"'
        self.whole(401, b'', [('WWW-Authenticate', realm)])
        return True

    def manifest_tokenbusy(self):
        if not self.wants_token():
            self.manifest_good()

    def manifest_tokenlost(self):
        self.wants_token()

    def token(self, name):
        if name == 'tokenlost':
            self.error(404, 'NOT_FOUND')
        elif count(name) < 3:
            self.error(503, 'UNAVAILABLE')
        else:
            self.whole(200, b'{"token":"it"}')

    def manifest_realm(self):
        """A realm on another host must not get the password"""
        realm = f'Bearer realm="https://elsewhere.invalid:{PORTS[1]}/token",service="s"'
        self.whole(401, b'', [('WWW-Authenticate', realm)])

    def manifest_plainrealm(self):
        self.whole(401, b'', [('WWW-Authenticate', 'Bearer realm="http://elsewhere.invalid/t"')])

    def manifest_scheme(self):
        self.whole(401, b'', [('WWW-Authenticate', 'Negotiate')])

    def manifest_basic(self):
        if self.headers.get('Authorization') == 'Basic YWxpY2U6c2VjcmV0':
            self.manifest_good()
        else:
            self.whole(401, b'', [('WWW-Authenticate', 'Basic realm="x"')])

    # ---- referrers and tags: APIs that page ----

    def listing(self, name, kind):
        number = int(self.path.partition('page=')[2] or 0)
        if name == 'html':
            self.whole(200, b'<html>', [('Content-Type', 'text/html')])
            return
        if name not in ('pages', 'lost', 'endlesspages', 'elsewhere', 'crowd', 'heavy', 'null') or (
                name == 'lost' and number == 1):
            self.error(404, 'PAGE_UNKNOWN')
            return
        # 20,000 on each page, short enough for it
        entries = [f'{number}-{i}' for i in range(20000)] if name == 'crowd' else [f'{number:064x}']
        if name == 'heavy':
            entries += ['x' * 3000000]
        headers = [('Content-Type', INDEX if kind == 'referrers' else 'application/json')]
        target = f'{self.path.partition("?")[0]}?page={number + 1}'
        if name == 'elsewhere':
            target = f'http://127.0.0.1:{PORTS[1]}{target}'
        if name != 'null' and (name not in ('pages', 'heavy') or number < 2):
            headers.append(('Link', f'<{target}>; rel="next"'))
        body = {'name': name, 'tags': None if name == 'null' else entries}
        if kind == 'referrers':
            body = {'schemaVersion': 2, 'manifests': [
                {'mediaType': 'x', 'digest': f'sha256:{entry}', 'size': 1} for entry in entries]}
        self.whole(200, json.dumps(body).encode(), headers)

    # ---- uploads ----

    def do_POST(self):
        self.log()
        name = self.path.split('/')[2]
        locations = {
            'upload': f'http://127.0.0.1:{PORTS[0]}/v2/upload/put?state=1',
            'uploadcut': 'put',
            'uploadcutalways': 'put',
            'uploadseesaw': 'put',
            'uploadshrinks': 'put',
            'uploadtiny': 'put',
            'uploadresume': 'put?state=1',
            'uploadrefused': 'put',
            'uploadplain': 'http://elsewhere.invalid/put',
            'uploadother': f'http://127.0.0.1:{PORTS[1]}/v2/upload/put',
        }
        headers = [('Location', locations[name])] if name in locations else []
        self.whole(202, b'', headers)

    def keep_part(self, name):
        """The first 600000 bytes came, then the connection was cut"""
        with LOCK:
            SEEN['part ' + name] = self.rfile.read(600000)
        self.close_connection = True

    def blob_uploadresume(self, first, last):
        """GET of the upload's location: what of it is here"""
        self.whole(204, b'', [('Range', '0-599999'), ('Location', 'put?state=2')])

    def blob_uploadseesaw(self, first, last):
        """Has 1,000 bytes more and less in turn"""
        have = 1000 * (count('uploadseesaw') % 2) + 999
        self.whole(204, b'', [('Range', f'0-{have}'), ('Location', 'put')])

    blob_uploadrefused = blob_uploadresume
    blob_uploadtiny = blob_uploadresume

    def do_PATCH(self):
        self.log()
        body = self.rfile.read(int(self.headers['Content-Length']))
        if self.path.split('/')[2] == 'uploadseesaw':
            self.error(503, 'UNAVAILABLE')
            return
        if self.path.split('/')[2] == 'uploadrefused':
            self.error(416, 'RANGE_INVALID')
            return
        good = self.headers['Content-Range'] == f'600000-{len(BLOB) - 1}' and 'state=2' in self.path
        with LOCK:
            SEEN['part uploadresume'] += body
        self.whole(202 if good else 400, b'', [('Location', 'put?state=3')])

    def do_PUT(self):
        self.log()
        name = self.path.split('/')[2]
        if name in ('uploadresume', 'uploadrefused') and count('PUT ' + name) == 1:
            self.keep_part(name)
            return
        if name == 'uploadresume':
            good = SEEN['part uploadresume'] == BLOB and 'state=3' in self.path
            self.whole(201 if good else 400, b'')
            return
        if 'uploadcut' in self.path and count('uploadcut') == 1:
            self.rfile.read(1000)
            self.close_connection = True
            return
        if name in ('uploadcutalways', 'uploadseesaw'):
            self.rfile.read(1000)
            self.close_connection = True
            return
        length = int(self.headers['Content-Length'])
        body = self.rfile.read(length)
        if name == 'uploadtiny' and count(f'PUT {name} {length}') == 1:
            self.close_connection = True
            return
        if name == 'uploadtiny':
            self.whole(201, b'')
            return
        key = self.path.split('/')[-1]
        if name == 'putwrong' or name == 'puttorn' and count(self.path) == 1:
            self.error(400, 'DIGEST_INVALID')
        elif '/manifests/' in self.path:
            with LOCK:
                SEEN[self.path] = body
            subject = [('OCI-Subject', 'x')] if 'subject' in self.path else []
            self.whole(201, b'', subject)
        else:
            self.whole(201 if body == BLOB else 400, b'', [('X-Key', key)])

    # ---- requests ----

    def log(self):
        with LOCK, open(f'{DIR}/log', 'a', encoding='utf-8') as log:
            print(self.server.server_port, self.command, self.path,
                  self.headers.get('Range', '-'), self.headers.get('Authorization', '-'),
                  file=log)

    def do_CONNECT(self):
        """As a proxy that has rules"""
        self.log()
        self.error(403, 'DENIED')

    def do_HEAD(self):
        self.log()
        self.whole(404, b'')

    def do_GET(self):
        self.log()
        # /v2/NAME/blobs/DIGEST
        parts = self.path.partition('?')[0].split('/')
        name, kind = parts[2], parts[3]
        if kind in ('referrers', 'tags'):
            self.listing(name, kind)
            return
        if kind == 'token':
            self.token(name)
            return
        if kind == 'manifests' and isinstance(SEEN.get(self.path), bytes):
            self.whole(200, SEEN[self.path])
            return
        if kind == 'manifests':
            getattr(self, 'manifest_' + name, lambda: self.error(404, 'MANIFEST_UNKNOWN'))()
            return
        wanted = re.fullmatch(r'bytes=(\d+)-(\d+)', self.headers.get('Range', ''))
        first, last = map(int, wanted.groups()) if wanted else (0, len(BLOB) - 1)
        getattr(self, 'blob_' + name)(first, last)

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    def verify_request(self, request, client_address):
        """A TLS hello (0x16) is turned away at once, as most servers do"""
        return request.recv(1, socket.MSG_PEEK) != b'\x16'

    def handle_error(self, request, client_address):
        """The client closing early is what many of these tests are about"""


servers = [Server(('127.0.0.1', 0), Handler) for _ in range(2)]
PORTS = [server.server_port for server in servers]
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
with open(f'{DIR}/port.new', 'w', encoding='ascii') as port:
    print(*PORTS, file=port)
os.rename(f'{DIR}/port.new', f'{DIR}/port')
servers[0].serve_forever()
