/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-shares.c: what jobs that fetch at the same time may take of the network */
#include "vtd-shares.h"

#include "vtd-worker-protocol.h"

#include <sys/socket.h>

struct VtdShares {
    GMutex lock;
    GPtrArray *members; /* (element-type VtdShare) */
    unsigned connections;
    uint64_t rate;
};

static unsigned
members_of(const VtdShares *shares, const char *host)
{
    unsigned count = 0;

    for (guint i = 0; i < shares->members->len; i++)
        count += g_str_equal(((const VtdShare *)shares->members->pdata[i])->host, host);
    return count;
}

/* The lower one of the two, of which 0 is none */
static uint64_t
lower_rate(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void
tell_all(const VtdShares *shares)
{
    const uint64_t rate = shares->rate == 0 ? 0 : MAX(shares->rate / shares->members->len, 1);

    for (guint i = 0; i < shares->members->len; i++) {
        const VtdShare *share = shares->members->pdata[i];
        const VtdFetchRequest request = {
            .op = VTD_FETCH_LIMIT,
            .count = MAX(shares->connections / members_of(shares, share->host), 1),
            .limit = lower_rate(share->rate, rate)};

        /* A worker that is gone needs no limits, and one that does not read is not waited for */
        (void)send(share->socket_fd, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void
vtd_shares_join(VtdShares *shares, const VtdShare *share)
{
    g_mutex_lock(&shares->lock);
    g_ptr_array_add(shares->members, (gpointer)share);
    tell_all(shares);
    g_mutex_unlock(&shares->lock);
}

void
vtd_shares_leave(VtdShares *shares, const VtdShare *share)
{
    g_mutex_lock(&shares->lock);
    if (g_ptr_array_remove(shares->members, (gpointer)share) && shares->members->len > 0)
        tell_all(shares);
    g_mutex_unlock(&shares->lock);
}

VtdShares *
vtd_shares_new(unsigned connections, uint64_t rate)
{
    VtdShares *shares = g_new0(VtdShares, 1);

    g_mutex_init(&shares->lock);
    shares->members = g_ptr_array_new();
    shares->connections = connections;
    shares->rate = rate;
    return shares;
}

void
vtd_shares_free(VtdShares *shares)
{
    if (!shares)
        return;
    g_ptr_array_unref(shares->members);
    g_mutex_clear(&shares->lock);
    g_free(shares);
}
