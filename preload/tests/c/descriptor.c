/* descriptor NAME: what can be done with a new object's descriptor, a line each. */
#include "common.h"
#include <sys/uio.h>

static void show(const char *call, long result)
{
	printf("%s %s", call, result < 0 ? errno_name() : "");
	if (result >= 0)
		printf("%ld", result);
	printf("\n");
}

static void map(const char *call, int fd, size_t len, int prot, int flags, off_t offset)
{
	void *at = mmap(NULL, len, prot, flags, fd, offset);
	show(call, at == MAP_FAILED ? -1 : 0);
}

int main(int argc, char **argv)
{
	(void)argc;
	char bytes[64] = "0123456789";
	struct iovec vectors[2] = { { bytes, 10 }, { bytes, 10 } };
	struct stat st;
	int rw = PROT_READ | PROT_WRITE;
	int fd = shm_open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0640);
	if (fd < 0)
		return failed("shm_open");
	int copy = dup(fd), only_read = shm_open(argv[1], O_RDONLY, 0);
	map("mmap-empty", fd, 10, rw, MAP_SHARED, 0);
	show("write-empty", write(fd, bytes, 10));
	show("ftruncate-negative", ftruncate(fd, -1));
	show("ftruncate", ftruncate(fd, 15));
	fstat(fd, &st);
	printf("size %ld type %d mode %o\n", (long)st.st_size, (st.st_mode & S_IFMT) != 0, st.st_mode & 07777);
	show("ftruncate-again", ftruncate(fd, 5000));
	show("ftruncate-copy", ftruncate(copy, 15));
	show("write", write(fd, bytes, 10));
	show("write-past", write(fd, bytes, 10));
	show("pwrite-past", pwrite(copy, bytes, 10, 12));
	show("writev-past", pwritev(fd, vectors, 2, 0));
	show("lseek", lseek(fd, 0, SEEK_SET));
	show("read", read(copy, bytes, 5));
	show("readv", readv(fd, vectors, 2));
	show("pread", pread(fd, bytes, 5, 0));
	map("mmap", fd, 15, rw, MAP_SHARED, 0);
	map("mmap-private", fd, 15, rw, MAP_PRIVATE, 0);
	map("mmap-beyond", fd, 3 * 4096, rw, MAP_SHARED, 0);
	map("mmap-write-readonly", only_read, 15, rw, MAP_SHARED, 0);
	show("open-trunc", shm_open(argv[1], O_RDWR | O_TRUNC, 0) < 0 ? -1 : 0);
	/* A file of the program's own, perhaps with a number that was the object's. */
	close(fd);
	int other = open(".", O_RDWR | O_TMPFILE, 0600);
	show("other-write", write(other, bytes, 10));
	show("other-ftruncate", ftruncate(other, 3) + ftruncate(other, 4));
	fstat(other, &st);
	printf("other size %ld type %d\n", (long)st.st_size, S_ISREG(st.st_mode));
	return 0;
}
