/* writer NAME FLAGS MODE [TEXT]: opens, and puts the text in it through a mapping. */
#include "common.h"

int main(int argc, char **argv)
{
	struct stat st;
	int fd = shm_open(name_of(argv[1]), flags_of(argv[2]), strtol(argv[3], NULL, 8));
	if (fd < 0)
		return failed("shm_open");
	if (argc > 4) {
		if (ftruncate(fd, 100) != 0)
			return failed("ftruncate");
		char *at = mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			return failed("mmap");
		strcpy(at, argv[4]);
	}
	if (fstat(fd, &st) != 0)
		return failed("fstat");
	int status = fcntl(fd, F_GETFL);
	printf("ok mode %o size %ld cloexec %d nonblock %d append %d nofollow %d\n", st.st_mode, (long)st.st_size,
	       fcntl(fd, F_GETFD), !!(status & O_NONBLOCK), !!(status & O_APPEND), !!(status & O_NOFOLLOW));
	return 0;
}
