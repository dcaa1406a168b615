/* extras STEP…: the functions that only some platforms have; found at run time, as a port would. */
#include "common.h"
#include <dlfcn.h>

#define ANON ((const char *)1)
typedef int (*mkstemp_fn)(char *);
typedef int (*open2_fn)(const char *, int, mode_t, int, const char *);
typedef int (*rename_fn)(const char *, const char *, int);
typedef int (*largepage_fn)(const char *, int, int, int, mode_t);

static void show(const char *call, int result)
{
	printf("%s %s\n", call, result < 0 ? errno_name() : "ok");
}

static void templates(mkstemp_fn fn)
{
	char name[] = "/temp.XXXXXXXX", few[] = "/temp.XX";
	int fd = fn(name);
	show("shm_mkstemp", fd);
	if (fd >= 0) {
		printf("filled %d\n", strstr(name, "XXXXXXXX") == NULL && strncmp(name, "/temp.", 6) == 0);
		show("found", shm_open(name, O_RDWR, 0));
	}
	show("shm_mkstemp-few", fn(few));
}

static void anonymous(void)
{
	struct stat st;
	int fd = shm_open(ANON, O_RDWR | O_CREAT, 0600);
	show("anon", fd);
	if (fd >= 0 && fstat(fd, &st) == 0)
		printf("links %ld\n", (long)st.st_nlink);
	show("anon-readonly", shm_open(ANON, O_RDONLY, 0600));
}

static void open2(open2_fn fn, largepage_fn large)
{
	struct stat st;
	show("unknown", fn("/flags", O_RDWR | O_CREAT, 0600, 64, NULL));
	show("large", fn("/flags", O_RDWR | O_CREAT, 0600, 4, NULL));
	show("largepage", large("/flags", O_RDWR, 0, 0, 0600));
	int fd = fn("/flags", O_RDWR | O_CREAT, 0600, 2, NULL);
	show("grow", fd);
	printf("cloexec %d written %ld\n", fcntl(fd, F_GETFD), (long)write(fd, "12345", 5));
	fstat(fd, &st);
	printf("size %ld\n", (long)st.st_size);
	show("none", fn("/flags", O_RDWR, 0, 0, NULL));
	show("same", fn("/flags", O_RDWR, 0, 2, NULL));
	show("different", fn("/flags", O_RDWR, 0, 1, NULL));
}

static void renames(rename_fn fn)
{
	show("absent", fn("/a", "/b", 0));
	show("equal", fn("/a", "/a", 0));
	show("both", fn("/a", "/b", 3));
	show("anon", fn(ANON, "/b", 0));
	show("slash", fn("a", "/b", 0));
	shm_open("/a", O_RDWR | O_CREAT, 0600);
	show("exchange-alone", fn("/a", "/b", 2));
	show("gone", shm_open("/a", O_RDWR, 0));
	shm_open("/a", O_RDWR | O_CREAT, 0600);
	show("noreplace", fn("/a", "/b", 1));
	show("exchange", fn("/a", "/b", 2));
	show("replace", fn("/a", "/b", 0));
	show("gone", shm_open("/a", O_RDWR, 0));
	show("left", shm_open("/b", O_RDWR, 0));
}

static void memfds(void)
{
	char name[300];
	memset(name, 'n', sizeof name);
	name[249] = 0;
	show("longest", memfd_create(name, 0));
	name[249] = 'n';
	name[250] = 0;
	show("too-long", memfd_create(name, 0));
	show("null", memfd_create(NULL, 0));
	show("exec", memfd_create("x", 0x10));
	show("size-alone", memfd_create("x", 21u << 26));
}

int main(int argc, char **argv)
{
	(void)argc;
	mkstemp_fn mkstemp_at = (mkstemp_fn)dlsym(RTLD_DEFAULT, "shm_mkstemp");
	open2_fn open2_at = (open2_fn)dlsym(RTLD_DEFAULT, "shm_open2");
	rename_fn rename_at = (rename_fn)dlsym(RTLD_DEFAULT, "shm_rename");
	largepage_fn large_at = (largepage_fn)dlsym(RTLD_DEFAULT, "shm_create_largepage");
	for (argv++; *argv; argv++) {
		if (strcmp(*argv, "mkstemp") == 0)
			templates(mkstemp_at);
		if (strcmp(*argv, "anon") == 0)
			anonymous();
		if (strcmp(*argv, "open2") == 0)
			open2(open2_at, large_at);
		if (strcmp(*argv, "rename") == 0)
			renames(rename_at);
		if (strcmp(*argv, "memfd") == 0)
			memfds();
	}
	return 0;
}
