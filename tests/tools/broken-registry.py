#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""broken-registry.py LAYOUT PORT DIR: a registry over an OCI layout, with one fault at a time.

It listens on PORT of the loopback addresses, with the certificate DIR/tls/NAME.crt and NAME.key.
DIR/plan is read at each request:

    {"fault": NAME, "arg": TEXT, "on": KIND, "times": NUMBER, "certificate": NAME, "auth": WAY}

KIND of requests: catalog (all about it), tag, signature, manifest, document (whole blob), range
(part of a blob), upload, any. Without "times" the fault stays. Each request goes to DIR/log as
"HOST METHOD PATH RANGE AUTHORIZATION STATUS".
"""
import base64
import gzip
import hashlib
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LAYOUT, PORT, DIR = sys.argv[1], int(sys.argv[2]), sys.argv[3]
LOCK = threading.Lock()
REF_NAME = 'org.opencontainers.image.ref.name'
INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
HOST, OTHER = f'registry.test:{PORT}', f'other.test:{PORT}'
USER = 'Basic ' + base64.b64encode(b'alice:secret').decode()
# As long as a test may take
FOREVER_S = 300


class State:
    """What is planned, and what was done of it"""
    text, plan, done, tokens, uploads = '', {}, 0, {}, {}


def plan():
    with LOCK, open(f'{DIR}/plan', encoding='utf-8') as file:
        text = file.read()
        if text != State.text:
            State.text, State.plan, State.done = text, json.loads(text), 0
        return State.plan


def due(wanted, kinds):
    """Whether this request gets the fault"""
    if 'fault' not in wanted or not {wanted.get('on', 'any'), 'any'} & {*kinds, 'any'}:
        return False
    if wanted.get('on', 'any') != 'any' and wanted['on'] not in kinds:
        return False
    with LOCK:
        State.done += 1
        return State.done <= wanted.get('times', sys.maxsize)


# ---- the content -------------------------------------------------------------------------------

def blob_path(digest):
    return os.path.join(LAYOUT, 'blobs', *digest.split(':'))


def read_blob(digest):
    try:
        with open(blob_path(digest), 'rb') as file:
            return file.read()
    except OSError:
        return None


def write_blob(data):
    digest = 'sha256:' + hashlib.sha256(data).hexdigest()
    with open(blob_path(digest), 'wb') as file:
        file.write(data)
    return digest


def read_index():
    with open(f'{LAYOUT}/index.json', encoding='utf-8') as file:
        return json.load(file)


def tagged(name, tag):
    for entry in read_index()['manifests']:
        if entry.get('annotations', {}).get(REF_NAME) == f'{name}/{tag}':
            return entry['digest']
    return None


def set_tag(name, tag, descriptor):
    with LOCK:
        index = read_index()
        index['manifests'] = [e for e in index['manifests']
                              if e.get('annotations', {}).get(REF_NAME) != f'{name}/{tag}']
        index['manifests'].append({**descriptor, 'annotations': {REF_NAME: f'{name}/{tag}'}})
        with open(f'{LAYOUT}/index.json.new', 'w', encoding='utf-8') as file:
            json.dump(index, file)
        os.rename(f'{LAYOUT}/index.json.new', f'{LAYOUT}/index.json')


class Answer:
    def __init__(self, status, body=b'', headers=()):
        self.status, self.body, self.headers = status, body, dict(headers)


def error(status, code, headers=()):
    return Answer(status, json.dumps({'errors': [{'code': code, 'message': 'as ordered'}]}).encode(),
                  headers)


# ---- faults: each gets the request, the right answer, and its argument -------------------------

def status(request, answer, arg):
    """CODE or CODE:RETRY_AFTER"""
    code, _, after = arg.partition(':')
    request.send(error(int(code), 'ORDERED', {'Retry-After': after} if after else {}))


def close(request, answer, arg):
    """before any answer, or behind that many bytes of the body; 'half'; negative: before its end"""
    if arg == 'head':
        request.end()
        return
    size = len(answer.body)
    count = size // 2 if arg == 'half' else int(arg) if int(arg) >= 0 else size + int(arg)
    request.head(answer, size)
    request.wfile.write(answer.body[:count])
    request.end()


def flip(request, answer, arg):
    """one bit at the place"""
    places = {'first': 0, 'middle': len(answer.body) // 2, 'last': len(answer.body) - 1}
    body = bytearray(answer.body)
    body[places[arg]] ^= 1
    request.send(Answer(answer.status, bytes(body), answer.headers))


def trailing(request, answer, arg):
    """bytes more, counted in Content-Length or not"""
    request.head(answer, len(answer.body) + (4 if arg == 'counted' else 0))
    request.wfile.write(answer.body + b'more')
    request.end()


def length(request, answer, arg):
    """Content-Length is wrong by so much, or not there ('chunked', 'none')"""
    if arg == 'chunked':
        request.head(answer, None, [('Transfer-Encoding', 'chunked')])
        request.chunk(answer.body)
        request.wfile.write(b'0\r\n\r\n')
        return
    request.head(answer, None if arg == 'none' else
                 arg if not re.fullmatch(r'[+-]\d+', arg) else len(answer.body) + int(arg))
    request.wfile.write(answer.body)
    request.end()


def content_range(request, answer, arg):
    """this in place of the right one; 'none': no such field; 'whole': 200 and everything"""
    whole = read_blob(request.digest)
    if arg == 'whole':
        request.send(Answer(200, whole))
        return
    if arg == 'parts':
        answer.headers['Content-Type'] = 'multipart/byteranges; boundary=x'
    first, last = request.range(len(whole))
    field = {'none': None, 'parts': None, 'shifted': f'bytes {first + 1}-{last + 1}/{len(whole)}',
             'total': f'bytes {first}-{last}/{len(whole) + 1}', 'unknown': f'bytes {first}-{last}/*',
             'huge': f'bytes {first}-{last}/{1 << 64}'}[arg]
    answer.headers.pop('Content-Range')
    if field:
        answer.headers['Content-Range'] = field
    request.send(answer)


def drip(request, answer, arg):
    """one byte each second"""
    request.head(answer, len(answer.body))
    for at in range(min(len(answer.body), FOREVER_S)):
        request.wfile.write(answer.body[at:at + 1])
        time.sleep(1)


def stall(request, answer, arg):
    """for ever, before the answer or in the middle of it"""
    if arg == 'half':
        request.head(answer, len(answer.body))
        request.wfile.write(answer.body[:len(answer.body) // 2])
    time.sleep(FOREVER_S)
    request.end()


def endless(request, answer, arg):
    """a body, a head or an error without end"""
    if arg == 'head':
        request.wfile.write(b'HTTP/1.1 200 OK\r\n')
        while True:
            request.wfile.write(b'X-Filler: ' + b'x' * 1000 + b'\r\n')
    answer.status = 400 if arg == 'error' else answer.status
    request.head(answer, None, [('Transfer-Encoding', 'chunked')])
    request.chunk(answer.body)
    while True:
        request.chunk(bytes(65536))


def encoded(request, answer, arg):
    """gzip that nobody asked for: of the content, or a bomb"""
    body = gzip.compress(bytes(64 << 20) if arg == 'bomb' else answer.body)
    request.send(Answer(answer.status, body, {**answer.headers, 'Content-Encoding': 'gzip'}))


def redirect(request, answer, arg):
    """to there; 'loop': 100 times; 'good': to the right answer elsewhere; 'none': no Location"""
    if 'hop=' in request.path and arg != 'loop':
        request.send(answer)
        return
    hop = int((request.path.partition('hop=')[2] or '0'))
    path = request.path.partition('?')[0]
    where = {'loop': f'{path}?hop={hop + 1}', 'none': None, 'good': f'{path}?hop=1',
             'other': f'https://{OTHER}{path}?hop=1', 'http': f'http://{HOST}{path}?hop=1',
             'otherhttp': f'http://{OTHER}{path}?hop=1', 'file': 'file:///etc/hostname',
             'user': f'https://root:root@{HOST}{path}?hop=1', 'gopher': f'gopher://{OTHER}/x',
             'local': 'https://127.0.0.1:1/x'}[arg]
    if arg == 'loop' and hop >= 100:
        request.send(answer)
    else:
        request.send(Answer(307, b'', {'Location': where} if where else {}))


def head(request, answer, arg):
    """one huge field, or many, or a line that is none"""
    more = {'huge': [('X-Filler', 'x' * (200 << 10))],
            'many': [(f'X-Filler-{i}', 'x' * 200) for i in range(2000)],
            'control': [('WWW-Authenticate', 'Basic realm="\x01\x1b[31m"'), ('Link', '<<<>;;;rel=')],
            'digest': [('Docker-Content-Digest', 'sha256:' + 64 * '0')]}
    if arg == 'rubbish':
        request.wfile.write(b'\x00\xff\x01 SSH-2.0-what\r\n\r\n' * 50)
        request.end()
        return
    request.head(answer, len(answer.body), more[arg])
    request.wfile.write(answer.body)


def challenge(request, answer, arg):
    """401 again and again, with this challenge"""
    realm = f'https://{HOST}/token'
    values = {'bearer': f'Bearer realm="{realm}",service="s",scope="repository:x:pull"',
              'basic': 'Basic realm="x"', 'none': None, 'long': 'Bearer realm="' + 'x' * 20000 + '"',
              'elsewhere': f'Bearer realm="https://{OTHER}/token",service="s"',
              'plain': f'Bearer realm="http://{HOST}/token"', 'local':
              'Bearer realm="https://127.0.0.1:1/token"', 'open': 'Bearer realm="https://x'}
    field = {'WWW-Authenticate': values[arg]} if values[arg] else {}
    request.send(error(401, 'UNAUTHORIZED', field))


def referrers(request, answer, arg):
    """what stands in the list of referrers"""
    path = request.path.partition('?')[0]
    number = int(request.path.partition('page=')[2] or 0)
    entry = {'mediaType': 'x', 'digest': f'sha256:{number:064x}', 'size': 1}
    head_fields = {'Content-Type': INDEX_TYPE}
    if arg in ('loop', 'pages', 'elsewhere'):
        place = {'loop': path, 'pages': f'{path}?page={number + 1}',
                 'elsewhere': f'https://{OTHER}{path}?page={number + 1}'}[arg]
        head_fields['Link'] = f'<{place}>; rel="next"'
    entries = [entry] * (1000000 if arg == 'million' else 1)
    body = {'html': b'<html>', 'deep': b'[' * 100000}.get(
        arg, json.dumps({'schemaVersion': 2, 'manifests': entries}).encode())
    request.send(Answer(200, body, head_fields))


def other(request, answer, arg):
    """the content of another reference, NAME/TAG, in place of this one"""
    request.send(Answer(200, read_blob(tagged(*arg.split('/'))), answer.headers))


def changing(request, answer, arg):
    """right for the first request of a blob, other bytes for all later ones"""
    with LOCK:
        seen = State.tokens.setdefault(('changing', State.text), set())
        first = request.digest not in seen
        seen.add(request.digest)
    body = answer.body if first else bytes(len(answer.body))
    request.send(Answer(answer.status, body, {**answer.headers, 'ETag': '"%d"' % first}))


def empty(request, answer, arg):
    """a success of this kind without content"""
    request.send(Answer(int(arg), b'', {}))


FAULTS = {function.__name__: function for function in (
    status, close, flip, trailing, length, content_range, drip, stall, endless, encoded, redirect,
    head, challenge, referrers, other, changing, empty)}


# ---- requests ----------------------------------------------------------------------------------

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    digest = ''

    # ---- sending ----

    def head(self, answer, size, more=()):
        self.sent = answer.status
        self.send_response_only(answer.status)
        for name, value in [*answer.headers.items(), *more]:
            self.send_header(name, value)
        if size is not None:
            self.send_header('Content-Length', str(size))
        self.end_headers()

    def send(self, answer):
        self.head(answer, len(answer.body))
        if self.command != 'HEAD':
            self.wfile.write(answer.body)

    def chunk(self, data):
        self.wfile.write(b'%x\r\n' % len(data) + data + b'\r\n')

    def end(self):
        self.wfile.flush()
        self.close_connection = True

    # ---- who may ----

    def refusal(self, way):
        """Basic, or tokens that are good for a number of requests: "token:NUMBER"."""
        given = self.headers.get('Authorization', '')
        if way == 'basic':
            return None if given == USER else error(401, 'UNAUTHORIZED',
                                                    {'WWW-Authenticate': 'Basic realm="x"'})
        with LOCK:
            left = State.tokens.get(given, 0)
            State.tokens[given] = left - 1
        field = f'Bearer realm="https://{HOST}/token",service="s"'
        return None if left > 0 else error(401, 'UNAUTHORIZED', {'WWW-Authenticate': field})

    def token(self, way):
        uses = int(way.partition(':')[2] or 1)
        text = uuid.uuid4().hex
        with LOCK:
            State.tokens['Bearer ' + text] = uses
        return Answer(200, json.dumps({'token': text, 'expires_in': 300}).encode())

    # ---- reading ----

    def range(self, size):
        wanted = re.fullmatch(r'bytes=(\d+)-(\d+)', self.headers.get('Range', ''))
        return tuple(map(int, wanted.groups())) if wanted else (0, size - 1)

    def blob(self, digest):
        data = read_blob(digest)
        if data is None:
            return error(404, 'BLOB_UNKNOWN')
        self.digest = digest
        if 'Range' not in self.headers:
            return Answer(200, data)
        first, last = self.range(len(data))
        if first >= len(data):
            return Answer(416, b'', {'Content-Range': f'bytes */{len(data)}'})
        return Answer(206, data[first:last + 1],
                      {'Content-Range': f'bytes {first}-{last}/{len(data)}'})

    def manifest(self, name, reference):
        digest = reference if ':' in reference else tagged(name, reference)
        data = read_blob(digest) if digest else None
        if data is None:
            return error(404, 'MANIFEST_UNKNOWN')
        return Answer(200, data, {'Content-Type': json.loads(data).get('mediaType', INDEX_TYPE),
                                  'Docker-Content-Digest': digest})

    def parts(self):
        """/v2/golden/debian/blobs/DIGEST -> debian, blobs, DIGEST"""
        found = re.fullmatch(r'/v2/(?:[a-z]+/)*([^/]+)/(blobs|manifests|referrers)/(.*)',
                             self.path.partition('?')[0])
        return found.groups() if found else ('', '', '')

    def kinds(self, name, kind, what):
        kinds = {'catalog'} if name == 'catalog' else set()
        if kind == 'referrers' or what.startswith('sha256-'):
            kinds.add('signature')
        elif kind == 'manifests':
            kinds.add('manifest' if ':' in what else 'tag')
        elif what.startswith('uploads/'):
            kinds.add('upload')
        else:
            kinds.add('range' if 'Range' in self.headers else 'document')
        return kinds if name != 'catalog' else {'catalog'}

    def right_answer(self, name, kind, what):
        if kind == 'blobs':
            return self.blob(what)
        if kind == 'manifests':
            return self.manifest(name, what)
        return error(404, 'PAGE_UNKNOWN')

    def do_GET(self):
        wanted, (name, kind, what) = plan(), self.parts()
        self.sent = 0
        try:
            if self.path.startswith('/token'):
                self.send(self.token(wanted.get('auth', '')))
                return
            refused = self.refusal(wanted['auth']) if 'auth' in wanted else None
            if refused and 'hop=' not in self.path:
                self.send(refused)
                return
            answer = self.right_answer(name, kind, what)
            if due(wanted, self.kinds(name, kind, what)):
                FAULTS[wanted['fault']](self, answer, wanted.get('arg', ''))
            else:
                self.send(answer)
        finally:
            self.log()

    do_HEAD = do_GET

    # ---- writing ----

    def take(self, limit=None):
        """The body; of a cut one what came before"""
        size = int(self.headers.get('Content-Length') or 0)
        return self.rfile.read(size if limit is None else min(size, limit))

    def do_POST(self):
        self.take()
        session = uuid.uuid4().hex
        State.uploads[session] = b''
        self.send(Answer(202, b'', {'Location': self.path.partition('?')[0] + session}))
        self.log()

    def session(self):
        return urlsplit(self.path).path.rpartition('/')[2]

    def upload(self):
        """PATCH or PUT: the bytes are kept as far as they came"""
        wanted, session = plan(), self.session()
        cut = due(wanted, {'upload'}) and wanted['fault'] == 'cut'
        start = self.headers.get('Content-Range', '').partition('-')[0]
        if start and int(start) != len(State.uploads[session]):
            return error(416, 'RANGE_INVALID')
        data = self.take(int(wanted['arg']) if cut else None)
        if not cut or wanted.get('keeps', True):
            State.uploads[session] += data
        if cut:
            self.end()
            return None
        return Answer(202, b'', {'Location': self.path.partition('?')[0]})

    def do_PATCH(self):
        answer = self.upload() if self.session() in State.uploads else error(404, 'UPLOAD_UNKNOWN')
        if answer:
            self.send(answer)
        self.log()

    def put_manifest(self, name, reference):
        data = self.take()
        digest = write_blob(data)
        descriptor = {'mediaType': self.headers['Content-Type'], 'digest': digest,
                      'size': len(data)}
        if ':' not in reference:
            set_tag(name, reference, descriptor)
        return Answer(201)

    def finish_upload(self):
        answer = self.upload()
        if not answer or answer.status != 202:
            return answer
        wanted = unquote(parse_qs(urlsplit(self.path).query)['digest'][0])
        data = State.uploads.pop(self.session())
        if 'sha256:' + hashlib.sha256(data).hexdigest() != wanted:
            return error(400, 'DIGEST_INVALID')
        write_blob(data)
        return Answer(201)

    def do_PUT(self):
        name, kind, what = self.parts()
        if kind == 'manifests':
            answer = self.put_manifest(name, what)
        elif self.session() in State.uploads:
            answer = self.finish_upload()
        else:
            answer = error(404, 'UPLOAD_UNKNOWN')
        if answer:
            self.send(answer)
        self.log()

    def log(self):
        field = self.headers.get('Content-Range') or self.headers.get('Range', '-')
        with LOCK, open(f'{DIR}/log', 'a', encoding='utf-8') as log:
            print(self.headers.get('Host'), self.command, self.path, field,
                  self.headers.get('Authorization', '-'), getattr(self, 'sent', 0), file=log)

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    # Faults leave many connections behind
    request_queue_size = 128

    def finish_request(self, request, client_address):
        """In the thread of the connection"""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        name = f'{DIR}/tls/{plan().get("certificate", "server")}'
        context.load_cert_chain(f'{name}.crt', f'{name}.key')
        if os.path.exists(f'{name}.clients'):
            context.load_verify_locations(f'{name}.clients')
            context.verify_mode = ssl.CERT_REQUIRED
        super().finish_request(context.wrap_socket(request, server_side=True), client_address)

    def handle_error(self, request, client_address):
        """The client closing early is what many of these tests are about"""


Server(('::', PORT), Handler).serve_forever()
