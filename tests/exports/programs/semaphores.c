/* sem_open under rules that name the semaphore exactly: made, used, found again, removed;
 * another name is refused.
 *
 * semaphores NAME FORBIDDEN
 * semaphores NAME: whether a second sem_open gives the same address, as POSIX asks */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define must(condition)                                                              \
	do {                                                                         \
		if (!(condition)) {                                                  \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__,       \
				#condition, strerror(errno));                        \
			exit(1);                                                     \
		}                                                                    \
	} while (0)

int main(int argc, char **argv)
{
	umask(0);
	if (argc == 2) {
		sem_t *made = sem_open(argv[1], O_CREAT | O_EXCL, 0666, 2);
		must(made != SEM_FAILED);
		must(sem_open(argv[1], 0) == made);
		must(sem_unlink(argv[1]) == 0);
		return 0;
	}
	must(argc == 3);
	for (int round = 0; round < 20; round++) {
		sem_t *made = sem_open(argv[1], O_CREAT | O_EXCL, 0666, 2);
		must(made != SEM_FAILED);
		must(sem_open(argv[1], O_CREAT | O_EXCL, 0666, 2) == SEM_FAILED);
		must(errno == EEXIST);
		sem_t *found = sem_open(argv[1], 0);
		must(found != SEM_FAILED);
		must(sem_wait(found) == 0 && sem_wait(found) == 0);
		must(sem_trywait(found) == -1 && errno == EAGAIN);
		must(sem_post(found) == 0);
		must(sem_unlink(argv[1]) == 0);
		must(sem_open(argv[1], 0) == SEM_FAILED && errno == ENOENT);
		sem_close(made);
		sem_close(found);
		must(sem_open(argv[2], O_CREAT, 0666, 1) == SEM_FAILED);
		must(errno == EACCES);
	}
	return 0;
}
