/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-key-generate.c: virt-template key generate PREFIX */
#include "vtc-key.h"
#include "vtc-verb.h"

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_autofree char *type = NULL, *what = NULL;
    g_auto(GStrv) words = NULL;
    g_autoptr(GBytes) private_pem = NULL, public_pem = NULL;
    g_autoptr(VtKey) key = NULL;
    const GOptionEntry entries[] = {
        {"type", 't', 0, G_OPTION_ARG_STRING, &type, "p256 (default), p384, rsa3072, ed25519",
         "TYPE"},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !vt_key_generate(type ? type : "p256", &private_pem, &public_pem, error) ||
        !vt_key_parse_private(private_pem, &key, error) ||
        !vtc_key_write_pair(words[0], private_pem, public_pem, error))
        return false;
    what = vt_key_describe(key);
    g_print("%s\n"
            "  %s.key  private: signs what you publish; keep it secret\n"
            "  %s.pub  public: hosts trust it by a policy, see virt-template-policy(5)\n",
            what, words[0], words[0]);
    return true;
}

const VtcVerb vtc_verb_key_generate = {
    .name = "key generate",
    .words = "PREFIX",
    .words_min = 1,
    .words_max = 1,
    .summary = "Make a key pair: PREFIX.key and PREFIX.pub",
    .detail = "Neither file is ever overwritten.",
    .run = run,
};
