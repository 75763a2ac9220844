#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""forge.py LAYOUT COMMAND ARGUMENT...: what an attacker does to an OCI layout

Without a key:
  digest KIND NAME TAG      print the digest of a part: manifest, config, signature, payload, bundle,
                            index, frames (the largest blob)
  flip DIGEST [OFFSET]      flip one bit of a blob; OFFSET may be negative, default the middle
  truncate DIGEST           cut a blob in half
  grow DIGEST               append a byte to a blob
  remove DIGEST             remove a blob
  unsign NAME TAG           remove the signatures of a manifest, in both forms
  transplant NAME FROM TO   give the signatures of one version to another
  swap NAME FROM TO         let the tag TO point at the manifest of FROM
With the key of the store, as a careless or malicious publisher (signed with openssl, not with our code):
  resize KEY NAME VERSION KIND SIZE   lie about the size of a layer in the manifest
  reindex KEY NAME VERSION FILE       replace the layer index by FILE
  poke KEY NAME VERSION OFFSET BYTES VALUE   change a number in the layer index
  reframe KEY NAME VERSION FILE       replace the first frame by FILE
  relayer KEY NAME VERSION LAYER...   list these layers in the manifest: NAME/VERSION:NUMBER from 0
  uncatalog KEY NAME VERSION          remove a version from the catalog
  catalog KEY FILE                    replace the catalog document by FILE
"""
import base64
import hashlib
import json
import os
import subprocess
import sys

REF_NAME = 'org.opencontainers.image.ref.name'
MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
INDEX_TYPE = 'application/vnd.virt-template.layer.index.v1'
FRAMES_TYPE = 'application/vnd.virt-template.layer.frames.v1+zstd'
PAYLOAD_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json'
SIGNATURE = 'dev.cosignproject.cosign/signature'
CATALOG = ('catalog', 'latest')


def compact(value):
    return json.dumps(value, separators=(',', ':')).encode()


class Layout:
    """An OCI image layout directory"""

    def __init__(self, path):
        self.path = path

    def blob_path(self, digest):
        return os.path.join(self.path, 'blobs', *digest.split(':'))

    def blob(self, digest):
        with open(self.blob_path(digest), 'rb') as file:
            return file.read()

    def document(self, digest):
        return json.loads(self.blob(digest))

    def put_blob(self, data, media_type):
        digest = 'sha256:' + hashlib.sha256(data).hexdigest()
        with open(self.blob_path(digest), 'wb') as file:
            file.write(data)
        return {'mediaType': media_type, 'digest': digest, 'size': len(data)}

    def index(self):
        with open(os.path.join(self.path, 'index.json'), encoding='utf-8') as file:
            return json.load(file)

    def write_index(self, index):
        with open(os.path.join(self.path, 'index.json'), 'wb') as file:
            file.write(compact(index))

    def ref(self, name, tag):
        for entry in self.index()['manifests']:
            if entry.get('annotations', {}).get(REF_NAME) == f'{name}/{tag}':
                return entry
        sys.exit(f'forge: the layout has no {name}/{tag}')

    def remove_refs(self, wanted):
        index = self.index()
        keep = [e for e in index['manifests']
                if not wanted(e.get('annotations', {}).get(REF_NAME, ''), e)]
        if len(keep) == len(index['manifests']):
            sys.exit('forge: nothing to remove')
        index['manifests'] = keep
        self.write_index(index)

    def set_ref(self, name, tag, descriptor):
        index = self.index()
        index['manifests'] = [e for e in index['manifests']
                              if e.get('annotations', {}).get(REF_NAME) != f'{name}/{tag}']
        index['manifests'].append({**descriptor, 'annotations': {REF_NAME: f'{name}/{tag}'}})
        self.write_index(index)


def fallback_tag(digest):
    return digest.replace(':', '-')


def referrers(layout, subject):
    """Digests of the manifests whose subject this is, wherever the layout lists them"""
    for entry in layout.index()['manifests']:
        document = layout.document(entry['digest'])
        if document.get('subject', {}).get('digest') == subject:
            yield entry['digest']
        elif entry.get('annotations', {}).get(REF_NAME, '').endswith('/' + fallback_tag(subject)):
            for inner in document['manifests']:
                yield inner['digest']


def part(layout, kind, name, tag):
    """The digest of a part of what NAME/TAG points at"""
    manifest = layout.ref(name, tag)['digest']
    if kind == 'manifest':
        return manifest
    document = layout.document(manifest)
    if kind == 'config':
        return document['config']['digest']
    if kind in ('index', 'frames'):
        wanted = INDEX_TYPE if kind == 'index' else FRAMES_TYPE
        return max((e for e in document['layers'] if e['mediaType'] == wanted),
                   key=lambda e: e['size'])['digest']
    if kind == 'layer':
        return document['layers'][0]['digest']
    signature = layout.ref(name, fallback_tag(manifest) + '.sig')['digest']
    if kind == 'signature':
        return signature
    if kind == 'payload':
        return layout.document(signature)['layers'][0]['digest']
    if kind == 'bundle':
        return layout.document(next(referrers(layout, manifest)))['layers'][0]['digest']
    sys.exit(f'forge: unknown kind {kind}')


def change(layout, digest, function):
    path = layout.blob_path(digest)
    with open(path, 'rb') as file:
        data = bytearray(file.read())
    with open(path, 'wb') as file:
        file.write(function(data))


def flip(layout, digest, offset=None):
    def one_bit(data):
        data[int(offset) if offset is not None else len(data) // 2] ^= 1
        return data
    change(layout, digest, one_bit)


def unsign(layout, name, tag):
    digest = layout.ref(name, tag)['digest']
    drop = {f'{name}/{fallback_tag(digest)}', f'{name}/{fallback_tag(digest)}.sig'}
    bundles = set(referrers(layout, digest))
    layout.remove_refs(lambda ref, entry: ref in drop or entry['digest'] in bundles)


def transplant(layout, name, source, target):
    old, new = layout.ref(name, source)['digest'], layout.ref(name, target)['digest']
    unsign(layout, name, target)
    for ending in ('', '.sig'):
        entry = dict(layout.ref(name, fallback_tag(old) + ending))
        entry.pop('annotations')
        layout.set_ref(name, fallback_tag(new) + ending, entry)


def swap(layout, name, source, target):
    entry = dict(layout.ref(name, source))
    entry.pop('annotations')
    layout.set_ref(name, target, entry)


def sign(layout, key, name, digest):
    """The cosign v2 form, over a payload with the identity that our publisher would write"""
    identity = f'localhost/{os.path.basename(layout.path)}/{name}'
    payload = compact({'critical': {'identity': {'docker-reference': identity},
                                    'image': {'docker-manifest-digest': digest},
                                    'type': 'cosign container image signature'},
                       'optional': None})
    raw = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', key], input=payload,
                         capture_output=True, check=True).stdout
    layer = layout.put_blob(payload, PAYLOAD_TYPE)
    layer['annotations'] = {SIGNATURE: base64.b64encode(raw).decode()}
    config = layout.put_blob(b'{}', 'application/vnd.oci.image.config.v1+json')
    manifest = {'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'config': config,
                'layers': [layer]}
    layout.set_ref(name, fallback_tag(digest) + '.sig',
                   layout.put_blob(compact(manifest), MANIFEST_TYPE))


def put_catalog(layout, key, data):
    manifest = layout.document(layout.ref(*CATALOG)['digest'])
    manifest['layers'] = [layout.put_blob(data, manifest['layers'][0]['mediaType'])]
    descriptor = layout.put_blob(compact(manifest), MANIFEST_TYPE)
    layout.set_ref(*CATALOG, descriptor)
    sign(layout, key, CATALOG[0], descriptor['digest'])


def catalog(layout):
    return layout.document(part(layout, 'layer', *CATALOG))


def put_version(layout, key, name, version, manifest):
    """A new manifest for a version, signed, and a signed catalog that names it"""
    descriptor = layout.put_blob(compact(manifest), MANIFEST_TYPE)
    layout.set_ref(name, version, descriptor)
    sign(layout, key, name, descriptor['digest'])
    document = catalog(layout)
    document['serial'] += 1
    document['templates'][name]['versions'][version].update(
        manifest=descriptor['digest'], size=descriptor['size'])
    put_catalog(layout, key, compact(document))


def resize(layout, key, name, version, kind, size):
    manifest = layout.document(layout.ref(name, version)['digest'])
    digest = part(layout, kind, name, version)
    for layer in manifest['layers']:
        if layer['digest'] == digest:
            layer['size'] = layer['size'] + int(size) if size[0] in '+-' else int(size)
    put_version(layout, key, name, version, manifest)


def reindex(layout, key, name, version, path):
    manifest = layout.document(layout.ref(name, version)['digest'])
    digest = part(layout, 'index', name, version)
    with open(path, 'rb') as file:
        descriptor = layout.put_blob(file.read(), INDEX_TYPE)
    for layer in manifest['layers']:
        if layer['digest'] == digest:
            layer.update(descriptor)
    put_version(layout, key, name, version, manifest)


def replace_layers(layout, key, name, version, replaced):
    """New content for layers of a version: {KIND: (media type, data)}"""
    manifest = layout.document(layout.ref(name, version)['digest'])
    for kind, (media_type, data) in replaced.items():
        digest = part(layout, kind, name, version)
        descriptor = layout.put_blob(data, media_type)
        for layer in manifest['layers']:
            if layer['digest'] == digest:
                layer.update(descriptor)
    put_version(layout, key, name, version, manifest)


def number(data, offset, size=4):
    return int.from_bytes(data[offset:offset + size], 'little')


def set_number(data, offset, size, value):
    data[offset:offset + size] = value.to_bytes(size, 'little')


def first_page(index):
    """Where the pages begin: behind the header, the sections and the page table"""
    return 128 + 32 * number(index, 76) + 40 * number(index, 80)


def hash_pages(index):
    for i in range(number(index, 80)):
        entry = 128 + 32 * number(index, 76) + 40 * i
        page = first_page(index) + 16384 * i
        index[entry:entry + 32] = hashlib.sha256(index[page:page + 16384]).digest()


def poke(layout, key, name, version, offset, size, value):
    """In the root, which no page's digest covers"""
    index = bytearray(layout.blob(part(layout, 'index', name, version)))
    set_number(index, int(offset), int(size), int(value, 0))
    replace_layers(layout, key, name, version, {'index': (INDEX_TYPE, index)})


def frame_records(index):
    """Offsets of the frame records"""
    for i in range(number(index, 76)):
        section = 128 + 32 * i
        if number(index, section) == 2:
            page = first_page(index) + 16384 * number(index, section + 12)
            for k in range(number(index, section + 16, 8)):
                yield page + 16384 * (k // 204) + 80 * (k % 204)


def reframe(layout, key, name, version, path):
    index = bytearray(layout.blob(part(layout, 'index', name, version)))
    frames = layout.blob(part(layout, 'frames', name, version))
    with open(path, 'rb') as file:
        data = file.read()
    first, *others = frame_records(index)
    size = number(index, first + 4)
    set_number(index, first + 4, 4, len(data))
    index[first + 16:first + 48] = hashlib.sha256(data).digest()
    for record in others:
        set_number(index, record, 4, number(index, record) + len(data) - size)
    hash_pages(index)
    replace_layers(layout, key, name, version, {'index': (INDEX_TYPE, index),
                                                'frames': (FRAMES_TYPE, data + frames[size:])})


def layers_of(layout, name, version):
    """Each layer: its index and its frames"""
    layers = []
    for descriptor in layout.document(layout.ref(name, version)['digest'])['layers']:
        if descriptor['mediaType'] == INDEX_TYPE:
            layers.append([])
        layers[-1].append(descriptor)
    return layers


def relayer(layout, key, name, version, *wanted):
    manifest = layout.document(layout.ref(name, version)['digest'])
    found = []
    for one in wanted:
        reference, number = one.split(':')
        found += layers_of(layout, *reference.split('/'))[int(number)]
    manifest['layers'] = found
    put_version(layout, key, name, version, manifest)


def uncatalog(layout, key, name, version):
    document = catalog(layout)
    document['serial'] += 1
    template = document['templates'][name]
    del template['versions'][version]
    template['current'] = sorted(template['versions'])[-1]
    put_catalog(layout, key, compact(document))


def replace_catalog(layout, key, path):
    with open(path, 'rb') as file:
        put_catalog(layout, key, file.read())


COMMANDS = {
    'digest': lambda layout, kind, name, tag: print(part(layout, kind, name, tag)),
    'flip': flip,
    'truncate': lambda layout, digest: change(layout, digest, lambda data: data[:len(data) // 2]),
    'grow': lambda layout, digest: change(layout, digest, lambda data: data + b'\0'),
    'remove': lambda layout, digest: os.unlink(layout.blob_path(digest)),
    'unsign': unsign,
    'transplant': transplant,
    'swap': swap,
    'resize': resize,
    'reindex': reindex,
    'poke': poke,
    'reframe': reframe,
    'relayer': relayer,
    'uncatalog': uncatalog,
    'catalog': replace_catalog,
}

if __name__ == '__main__':
    if len(sys.argv) < 3 or sys.argv[2] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[2]](Layout(os.path.realpath(sys.argv[1])), *sys.argv[3:])
