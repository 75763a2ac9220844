#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""token-server.py DIR: the token server of a test registry, on a free port of 127.0.0.1.

DIR has key.pem and cert.pem. The port goes to DIR/token.port, what was asked to DIR/token.log. The
user `alice` with the password `secret`, or the refresh token `identity`, may pull and push; anybody
else may pull from repositories that begin with `public/`.
"""
import base64
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

DIR = sys.argv[1]


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=')


def certificate():
    with open(f'{DIR}/cert.pem', encoding='ascii') as file:
        return ''.join(file.read().split('-----')[2].split())


def sign(claims):
    header = {'typ': 'JWT', 'alg': 'RS256', 'x5c': [certificate()]}
    text = encode(json.dumps(header).encode()) + b'.' + encode(json.dumps(claims).encode())
    signature = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', f'{DIR}/key.pem'],
                               input=text, check=True, capture_output=True).stdout
    return (text + b'.' + encode(signature)).decode()


def access(scopes, user):
    """[{"type":"repository","name":"a/b","actions":["pull"]}] of what the user may do"""
    granted = []
    for scope in scopes:
        kind, name, actions = scope.split(':')
        if not user:
            actions = 'pull' if name.startswith('public/') else ''
        granted.append({'type': kind, 'name': name,
                        'actions': [a for a in actions.split(',') if a]})
    return granted


class Handler(BaseHTTPRequestHandler):
    def answer(self, query, user):
        with open(f'{DIR}/token.log', 'a', encoding='utf-8') as log:
            print(self.command, query.get('scope', []), user or 'anonymous', file=log)
        if user == 'refused' or query.get('service') != ['vt-test']:
            self.send_response(401)
            self.end_headers()
            return
        now = int(time.time())
        token = sign({'iss': 'vt-test', 'sub': user, 'aud': 'vt-test', 'exp': now + 120,
                      'nbf': now - 10, 'iat': now, 'jti': str(now),
                      'access': access(query.get('scope', []), user)})
        body = json.dumps({'token': token, 'expires_in': 120}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        given = self.headers.get('Authorization', '')
        good = 'Basic ' + base64.b64encode(b'alice:secret').decode()
        user = 'alice' if given == good else 'refused' if given else ''
        self.answer(parse_qs(urlsplit(self.path).query), user)

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers['Content-Length'])).decode())
        good = form.get('grant_type') == ['refresh_token'] and \
            form.get('refresh_token') == ['identity']
        self.answer(form, 'alice' if good else 'refused')

    def log_message(self, format, *args):
        pass


server = HTTPServer(('127.0.0.1', 0), Handler)
with open(f'{DIR}/token.port.new', 'w', encoding='ascii') as port:
    print(server.server_port, file=port)
os.rename(f'{DIR}/token.port.new', f'{DIR}/token.port')
server.serve_forever()
