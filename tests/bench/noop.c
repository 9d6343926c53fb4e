/* The peer of the no-op pipeline: a filter on libmilter that sees everything and says nothing.
 * cc -O2 -o noop noop.c -lmilter -lpthread; ./noop unix:/path */
#include <string.h>
#include <libmilter/mfapi.h>

static sfsistat connected(SMFICTX *c, char *host, _SOCK_ADDR *a)
{ (void)c; (void)host; (void)a; return SMFIS_CONTINUE; }
static sfsistat text(SMFICTX *c, char *s) { (void)c; (void)s; return SMFIS_CONTINUE; }
static sfsistat words(SMFICTX *c, char **w) { (void)c; (void)w; return SMFIS_CONTINUE; }
static sfsistat field(SMFICTX *c, char *n, char *v)
{ (void)c; (void)n; (void)v; return SMFIS_CONTINUE; }
static sfsistat piece(SMFICTX *c, unsigned char *p, size_t n)
{ (void)c; (void)p; (void)n; return SMFIS_CONTINUE; }
static sfsistat nothing(SMFICTX *c) { (void)c; return SMFIS_CONTINUE; }

int main(int count, char **given)
{
	struct smfiDesc filter;

	memset(&filter, 0, sizeof filter);
	filter.xxfi_name = "noop";
	filter.xxfi_version = SMFI_VERSION;
	filter.xxfi_connect = connected;
	filter.xxfi_helo = text;
	filter.xxfi_envfrom = words;
	filter.xxfi_envrcpt = words;
	filter.xxfi_data = nothing;
	filter.xxfi_header = field;
	filter.xxfi_eoh = nothing;
	filter.xxfi_body = piece;
	filter.xxfi_eom = nothing;
	if (count != 2 || smfi_setconn(given[1]) != MI_SUCCESS || smfi_register(filter) != MI_SUCCESS)
		return 1;
	return smfi_main();
}
