/* The life of the logs in the stats. */
#include "fs/fs.h"
#include "fs/listing.h"

typedef unsigned long long ull;

static double ratio(const struct policy_life_stats *s)
{
	return s->packed_after ? (double)s->packed_before / (double)s->packed_after : 0;
}

void life_stats_text(struct clawfs *fs, struct listing *out)
{
	struct policy_life_stats s;
	uint32_t plain, packed;

	life_stats(fs, &s, &plain, &packed);
	listing_text(
		out,
		"\nlogs: %u plain, %u compressed; %llu rotations (%llu bytes, %llu failed)\n"
		"compressed: %llu, %llu bytes to %llu (%.1f:1), %.1f s of CPU; %llu given up, %llu failed; "
		"%llu brought back to life\n"
		"read as they were: %llu opens, %llu reads, %llu bytes, %llu errors\n"
		"deleted: %llu, %llu bytes (%llu by age, %llu by number, %llu by size, %llu failed); the clock was set "
		"%llu times\n",
		plain, packed, (ull)s.rotations, (ull)s.rotated_bytes, (ull)s.rotate_errors, (ull)s.packed,
		(ull)s.packed_before, (ull)s.packed_after, ratio(&s), (double)s.pack_cpu_ms / 1000, (ull)s.pack_changed,
		(ull)s.pack_errors, (ull)s.revived, (ull)s.view_opens, (ull)s.view_reads, (ull)s.view_bytes,
		(ull)s.view_errors, (ull)s.deleted, (ull)s.deleted_bytes, (ull)s.deleted_age, (ull)s.deleted_parts,
		(ull)s.deleted_total, (ull)s.delete_errors, (ull)s.clock_steps);
}

void life_stats_json(struct clawfs *fs, struct listing *out)
{
	struct policy_life_stats s;
	uint32_t plain, packed;

	life_stats(fs, &s, &plain, &packed);
	listing_text(out,
		     ",\"logs\":{\"plain\":%u,\"compressed\":%u,\"rotations\":%llu,\"rotated_bytes\":%llu,"
		     "\"rotate_errors\":%llu,\"gzip\":%llu,\"gzip_bytes_before\":%llu,\"gzip_bytes_after\":%llu,"
		     "\"gzip_ratio\":%.3f,\"gzip_ms\":%llu,\"gzip_cpu_ms\":%llu,\"gzip_given_up\":%llu,"
		     "\"gzip_errors\":%llu,\"revived\":%llu",
		     plain, packed, (ull)s.rotations, (ull)s.rotated_bytes, (ull)s.rotate_errors, (ull)s.packed,
		     (ull)s.packed_before, (ull)s.packed_after, ratio(&s), (ull)s.pack_ms, (ull)s.pack_cpu_ms,
		     (ull)s.pack_changed, (ull)s.pack_errors, (ull)s.revived);
	listing_text(out,
		     ",\"view_opens\":%llu,\"view_reads\":%llu,\"view_bytes\":%llu,\"view_errors\":%llu,"
		     "\"deleted\":%llu,\"deleted_bytes\":%llu,\"deleted_by_age\":%llu,\"deleted_by_number\":%llu,"
		     "\"deleted_by_size\":%llu,\"delete_errors\":%llu,\"clock_steps\":%llu}",
		     (ull)s.view_opens, (ull)s.view_reads, (ull)s.view_bytes, (ull)s.view_errors, (ull)s.deleted,
		     (ull)s.deleted_bytes, (ull)s.deleted_age, (ull)s.deleted_parts, (ull)s.deleted_total,
		     (ull)s.delete_errors, (ull)s.clock_steps);
}
