/* A talker and a listener as ROS 2's Fast DDS has them: a segment of shared memory,
 * and a named semaphore that guards it. The listener may only read the segment.
 *
 * ros talker ROUNDS | ros listener ROUNDS map|read */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MUTEX "/fastrtps_port7415_mutex"
#define SEGMENT "/fastrtps_1ab64bba8500211c"
#define SIZE 8192

#define must(condition)                                                              \
	do {                                                                         \
		if (!(condition)) {                                                  \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__,       \
				#condition, strerror(errno));                        \
			exit(1);                                                     \
		}                                                                    \
	} while (0)

struct message {
	unsigned count;
	unsigned copy;
};

static void lock(sem_t *mutex)
{
	struct timespec until;
	must(clock_gettime(CLOCK_REALTIME, &until) == 0);
	until.tv_sec += 50;
	must(sem_timedwait(mutex, &until) == 0);
}

static void talk(unsigned rounds)
{
	sem_t *mutex = sem_open(MUTEX, O_CREAT, 0666, 1);
	must(mutex != SEM_FAILED);
	int file = shm_open(SEGMENT, O_CREAT | O_RDWR, 0666);
	must(file != -1);
	must(ftruncate(file, SIZE) == 0);
	struct message *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	must(memory != MAP_FAILED);
	for (unsigned round = 1; round <= rounds; round++) {
		lock(mutex);
		memory->count = round;
		memory->copy = round;
		must(msync(memory, SIZE, MS_SYNC) == 0);
		must(sem_post(mutex) == 0);
	}
}

static void listen_to(unsigned rounds, int maps)
{
	sem_t *mutex = SEM_FAILED;
	int file = -1;
	/* The talker may not have come yet. */
	for (int tries = 0; tries < 5000 && (mutex == SEM_FAILED || file == -1); tries++) {
		if (mutex == SEM_FAILED) {
			mutex = sem_open(MUTEX, 0);
			must(mutex != SEM_FAILED || errno == ENOENT);
		}
		if (file == -1) {
			file = shm_open(SEGMENT, O_RDONLY, 0);
			must(file != -1 || errno == ENOENT);
		}
		usleep(2000);
	}
	must(mutex != SEM_FAILED && file != -1);
	must(shm_open(SEGMENT, O_RDWR, 0) == -1 && errno == EACCES);
	must(shm_unlink(SEGMENT) == -1 && errno == EACCES);
	struct stat seen;
	do {
		must(fstat(file, &seen) == 0);
	} while (seen.st_size < SIZE);
	struct message *memory = NULL;
	if (maps) {
		memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file, 0);
		must(memory != MAP_FAILED);
	}
	unsigned last = 0;
	while (last < rounds) {
		struct message copy;
		lock(mutex);
		if (maps)
			copy = *memory;
		else
			must(pread(file, &copy, sizeof copy, 0) == sizeof copy);
		must(sem_post(mutex) == 0);
		must(copy.count == copy.copy && copy.count >= last);
		last = copy.count;
	}
}

int main(int argc, char **argv)
{
	umask(0);
	must(argc >= 3);
	if (strcmp(argv[1], "talker") == 0)
		talk(atoi(argv[2]));
	else
		listen_to(atoi(argv[2]), argc > 3 && strcmp(argv[3], "map") == 0);
	return 0;
}
