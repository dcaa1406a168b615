/* What the programs of these tests share. Each prints one line per step: `ok …` or a call and its errno. */
#ifndef COMMON_H
#define COMMON_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* `@null` is the null pointer, `@anon` SHM_ANON. */
static inline const char *name_of(const char *arg)
{
	if (strcmp(arg, "@null") == 0)
		return NULL;
	if (strcmp(arg, "@anon") == 0)
		return (const char *)1;
	return arg;
}

static inline const char *errno_name(void)
{
	const char *name = strerrorname_np(errno);
	/* One number, two names. */
	if (errno == ENOTSUP)
		return "EOPNOTSUPP";
	return name ? name : "?";
}

static inline int failed(const char *call)
{
	printf("%s %s\n", call, errno_name());
	return 1;
}

/* One letter each: r w + 3 are O_RDONLY, O_WRONLY, O_RDWR and the access mode that there is not;
 * c x t e n a b are O_CREAT O_EXCL O_TRUNC O_CLOEXEC O_NOFOLLOW O_APPEND O_NONBLOCK. */
static inline int flags_of(const char *arg)
{
	int flags = O_RDONLY;
	for (; *arg; arg++) {
		switch (*arg) {
		case 'r': flags |= O_RDONLY; break;
		case 'w': flags |= O_WRONLY; break;
		case '+': flags |= O_RDWR; break;
		case '3': flags |= O_ACCMODE; break;
		case 'c': flags |= O_CREAT; break;
		case 'x': flags |= O_EXCL; break;
		case 't': flags |= O_TRUNC; break;
		case 'e': flags |= O_CLOEXEC; break;
		case 'n': flags |= O_NOFOLLOW; break;
		case 'a': flags |= O_APPEND; break;
		case 'b': flags |= O_NONBLOCK; break;
		}
	}
	return flags;
}
#endif
