/* The application's own JSON file, read with SQLite's JSON functions in a database in memory: no file is opened by
 * SQLite here. Before the mount is served and at SIGHUP. JSON5 (comments, bare keys) is understood from SQLite 3.42
 * on; the library that is there decides. */
#include "fs/layers.h"
#include "policy/conftext.h"
#include "policy/jsonpos.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_MAX    (4u << 20)
#define JSON5_SINCE 3042000
#define OWN_SECTION "clawfs"

struct json {
	struct layers_run *run;
	sqlite3 *db;
	const char *text;
	size_t len;
};

/* One value of the file: where it stands, and whose key it is. */
struct member {
	const char *key;
	const char *type; /* as json_each says */
	const char *value;
	struct origin origin;
};

typedef void take_fn(struct json *json, const struct member *member);

/* A statement with the text and, if given, `path` bound. NULL without memory. */
static sqlite3_stmt *prepare(const struct json *json, const char *sql, const char *text, size_t len, const char *path)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(json->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_bind_text(stmt, 1, text, (int)len, SQLITE_STATIC);
	if (path)
		sqlite3_bind_text(stmt, 2, path, -1, SQLITE_STATIC);
	return stmt;
}

/* The line of the text's first error; 0 when it has none, UINT_MAX when it has one at a place that is not known. */
static unsigned error_line(const struct json *json)
{
	bool json5 = sqlite3_libversion_number() >= JSON5_SINCE;
	sqlite3_stmt *stmt = prepare(json, json5 ? "SELECT json_error_position(?1)" : "SELECT 1 - json_valid(?1)",
				     json->text, json->len, NULL);
	sqlite3_int64 at = 1;

	if (stmt && sqlite3_step(stmt) == SQLITE_ROW)
		at = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	if (at == 0)
		return 0;
	if (!json5)
		return ~0u;
	/* Characters, of which a newline is one; bytes that go on with one are none. */
	unsigned line = 1;
	for (const char *p = json->text; p < json->text + json->len && at > 1; p++) {
		line += *p == '\n';
		at -= ((unsigned char)*p & 0xc0) != 0x80;
	}
	return line;
}

/* --- members ------------------------------------------------------------- */

static bool is_type(const struct member *m, const char *type)
{
	return strcmp(m->type, type) == 0;
}

/* A value as the text of an option; NULL for what is none. */
static const char *scalar(const struct member *m)
{
	if (is_type(m, "true"))
		return "on";
	if (is_type(m, "false"))
		return "off";
	return is_type(m, "text") || is_type(m, "integer") || is_type(m, "real") ? m->value : NULL;
}

/* Calls `take` for each member of what `path` leads to; `keys` are the same path for the lines. */
static void each(struct json *json, const char *path, const char *const *keys, unsigned depth, take_fn *take)
{
	const char *place[JSONPOS_DEPTH_MAX];
	sqlite3_stmt *stmt =
		prepare(json, "SELECT key, type, value FROM json_each(?1, ?2)", json->text, json->len, path);

	memcpy(place, keys, depth * sizeof(*keys));
	while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
		struct member m = {.key = (const char *)sqlite3_column_text(stmt, 0),
				   .type = (const char *)sqlite3_column_text(stmt, 1),
				   .value = (const char *)sqlite3_column_text(stmt, 2),
				   .origin = {.layer = LAYER_JSON}};
		if (!m.value)
			m.value = "";
		/* Not an object, but a bare value. */
		if (!m.key)
			m.key = "";
		place[depth] = m.key;
		m.origin.line = policy_json_line(json->text, json->len, place, depth + 1);
		take(json, &m);
	}
	sqlite3_finalize(stmt);
}

static void shown_name(const char *prefix, const char *key, char *out, size_t size)
{
	snprintf(out, size, "%s.%.100s", prefix, key);
}

/* A list of strings, for the options that are one. */
static void take_list(struct json *json, const struct member *m, const char *shown)
{
	sqlite3_stmt *stmt = prepare(json, "SELECT value, type FROM json_each(?1)", m->value, strlen(m->value), NULL);

	while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *value = (const char *)sqlite3_column_text(stmt, 0);
		const char *type = (const char *)sqlite3_column_text(stmt, 1);
		if (value && type && strcmp(type, "text") == 0)
			layers_set(json->run, &m->origin, shown, m->key, value);
		else
			layers_error(json->run, &m->origin, shown, "not a list of strings");
	}
	sqlite3_finalize(stmt);
}

static void take_own(struct json *json, const struct member *m)
{
	const struct policy_option *option = policy_option_find(m->key);
	bool list = option && (option->type == OPTION_RULE || option->type == OPTION_GLOB);
	char shown[128];

	shown_name(OWN_SECTION, m->key, shown, sizeof(shown));
	if (!*m->key && is_type(m, "null"))
		return;
	if (!*m->key)
		layers_error(json->run, &m->origin, OWN_SECTION, "not an object; write {\"option\": value, ...}");
	else if (strcmp(m->key, "profile") == 0)
		layers_error(json->run, &m->origin, shown,
			     "cannot be set here, because it says which file is read; set it in /etc/clawfs.conf or "
			     "with -o");
	else if (option && list && is_type(m, "array"))
		take_list(json, m, shown);
	else if (option && !scalar(m))
		layers_error(json->run, &m->origin, shown,
			     list ? "not a string, nor a list of them" : "not a string, number or boolean");
	else
		layers_set(json->run, &m->origin, shown, m->key, option ? scalar(m) : NULL);
}

/* The settings of the application's own connection. Keys of it that are none of these are its business. */
static void take_connection(struct json *json, const struct member *m)
{
	char shown[128], text[CONFTEXT_VALUE_MAX], why[300];
	const struct policy_alias *a = policy_json_aliases();

	while (a->name && strcmp(a->name, m->key) != 0)
		a++;
	if (!a->name || is_type(m, "null"))
		return;
	shown_name("memory.store.sqlite", m->key, shown, sizeof(shown));
	const char *value = scalar(m);
	if (!value)
		layers_error(json->run, &m->origin, shown, "not a string, number or boolean");
	else if (policy_alias_value(a->kind, value, text, sizeof(text), why, sizeof(why)) < 0)
		layers_error(json->run, &m->origin, shown, why);
	else
		layers_set(json->run, &m->origin, shown, a->option, text);
}

static void take_all(struct json *json)
{
	static const char *const connection[] = {"memory", "store", "sqlite"};
	static const char *const own[] = {OWN_SECTION};

	each(json, "$.memory.store.sqlite", connection, 3, take_connection);
	each(json, "$." OWN_SECTION, own, 1, take_own);
}

void layers_json(struct layers_run *run)
{
	const char *file = layers_json_name((enum policy_profile)run->settings->config.profile);
	struct json json = {.run = run};
	char path[4400], unread[200];
	const char *why = NULL;
	bool guard = false;

	if (run->layers->lower < 0 || !*file)
		return;
	snprintf(path, sizeof(path), "%s/%s", run->layers->name, file);
	char *text = layers_slurp(run->layers->lower, file, JSON_MAX, true, &json.len, &guard, &why);
	if (!text) {
		if (*why)
			layers_warning(run, path, why);
		return;
	}
	json.text = text;
	layers_begin(run, guard);
	unsigned line = ~0u;
	if (sqlite3_open_v2(":memory:", &json.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK)
		line = error_line(&json);
	if (line == 0) {
		take_all(&json);
	} else {
		if (line != ~0u) {
			size_t used = strlen(path);
			snprintf(path + used, sizeof(path) - used, ":%u", line);
			snprintf(unread, sizeof(unread), "not JSON5");
		} else {
			snprintf(unread, sizeof(unread),
				 "not JSON as SQLite %s reads it (comments and the rest of JSON5 need 3.42)",
				 sqlite3_libversion());
		}
		layers_warning(run, path, unread);
	}
	sqlite3_close(json.db);
	free(text);
}
