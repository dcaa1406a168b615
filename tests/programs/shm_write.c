/* Creates an object as shm_overview(7) says, and changes what fstat shows. */
#include "program.h"
#include <stddef.h>

int main(int argc, char **argv)
{
	struct stat st;
	int value;

	need_args(argc, 2);
	umask(0);
	int fd = must(shm_open(argv[1], O_CREAT | O_EXCL | O_RDWR, 0640));
	want(shm_open(argv[1], O_CREAT | O_EXCL | O_RDWR, 0640) == -1 && errno == EEXIST);
	want(fcntl(fd, F_GETFD) & FD_CLOEXEC);

	must(fstat(fd, &st));
	want(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0640);
	want(st.st_size == 0 && st.st_blocks == 0 && st.st_nlink == 1);

	must(ftruncate(fd, OBJECT_SIZE));
	must(fstat(fd, &st));
	want(st.st_size == OBJECT_SIZE && st.st_blocks == 0);

	struct shared *shared = map(fd, PROT_READ | PROT_WRITE);
	want(shared->text[0] == 0 && shared->tail[0] == 0);
	init_shared(shared);
	strcpy(shared->text, "written through a mapping");
	strcpy(shared->tail, "last page");
	must(fstat(fd, &st));
	want(st.st_blocks > 0 || getenv("SITE_PAGE_CACHE"));

	/* write(2) and the mapping are one memory. */
	off_t at = offsetof(struct shared, text);
	want(pwrite(fd, "W", 1, at) == 1 && shared->text[0] == 'W');
	shared->text[0] = 'w';
	char byte = 0;
	want(pread(fd, &byte, 1, at) == 1 && byte == 'w');

	must(fchmod(fd, 0600));
	must(fstat(fd, &st));
	want((st.st_mode & 07777) == 0600);
	if (getenv("SITE_ALL_USERS")) {
		must(fchown(fd, 1, 2));
		must(fstat(fd, &st));
		want(st.st_uid == 1 && st.st_gid == 2);
		must(fchown(fd, 0, 0));
	}
	must(close(fd));

	/* The reader, an unrelated program, takes turns with us. */
	printf("ready\n");
	fflush(stdout);
	for (value = 1; value <= TURNS; value++) {
		lock(shared);
		while (shared->turn != WRITER)
			wait_turn(shared);
		want(shared->value == value - 1 || value == 1);
		shared->value = value;
		shared->turn = READER;
		wake(shared);
		unlock(shared);
	}
	lock(shared);
	while (shared->turn != WRITER)
		wait_turn(shared);
	unlock(shared);

	must(shm_unlink(argv[1]));
	want(shm_unlink(argv[1]) == -1 && errno == ENOENT);
	want(shm_open(argv[1], O_RDWR, 0) == -1 && errno == ENOENT);
	/* Mapped objects outlive their name. */
	want(strcmp(shared->text, "written through a mapping") == 0);
	return 0;
}
