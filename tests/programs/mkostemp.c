/* mkostemp in /dev/shm, as libraries without memfd do it: unlinked, resized by
 * posix_fallocate, mapped, inherited over fork. */
#include "program.h"

int main(void)
{
	char path[] = "/dev/shm/region-XXXXXX";
	struct stat st;
	int fd = must(mkostemp(path, O_CLOEXEC));
	want(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	must(fstat(fd, &st));
	want((st.st_mode & 07777) == 0600);
	must(unlink(path));
	want(access(path, F_OK) == -1 && errno == ENOENT);
	want(posix_fallocate(fd, 0, OBJECT_SIZE) == 0);
	must(fstat(fd, &st));
	want(st.st_size == OBJECT_SIZE && st.st_blocks == OBJECT_SIZE / 512);
	struct shared *shared = map(fd, PROT_READ | PROT_WRITE);
	init_shared(shared);
	must(close(fd));
	pid_t pid = must(fork());
	if (pid == 0) {
		for (int i = 0; i < TURNS; i++) {
			lock(shared);
			shared->value++;
			unlock(shared);
		}
		_exit(0);
	}
	for (int i = 0; i < TURNS; i++) {
		lock(shared);
		shared->value++;
		unlock(shared);
	}
	int status;
	must(waitpid(pid, &status, 0));
	want(status == 0 && shared->value == 2 * TURNS);
	must(munmap(shared, OBJECT_SIZE));
	return 0;
}
