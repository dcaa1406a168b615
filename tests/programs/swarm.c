/* Many processes create many objects at once; every one is there, once.
 *
 *     swarm PROCESSES OBJECTS
 *
 * Prints the counts and the seconds of each phase. */
#include "program.h"
#include <dirent.h>

static void object_name(char *name, size_t size, int process, int object)
{
	snprintf(name, size, "/swarm-%d-%d", process, object);
}

static void create_all(int process, int objects)
{
	char name[64];
	for (int object = 0; object < objects; object++) {
		object_name(name, sizeof(name), process, object);
		int fd = must(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
		must(close(fd));
	}
}

static void unlink_all(int process, int objects)
{
	char name[64];
	for (int object = 0; object < objects; object++) {
		object_name(name, sizeof(name), process, object);
		must(shm_unlink(name));
	}
}

static long count_objects(void)
{
	long count = 0;
	struct dirent *entry;
	DIR *dir = opendir("/dev/shm");
	want(dir != NULL);
	errno = 0;
	while ((entry = readdir(dir)) != NULL)
		count += strncmp(entry->d_name, "swarm-", 6) == 0;
	want(errno == 0);
	closedir(dir);
	return count;
}

/* Forks all, lets them go together, waits for all. */
static void phase(const char *what, int processes, int objects, void (*work)(int, int))
{
	int gate[2];
	char byte;
	struct timespec begin, end;
	must(pipe(gate));
	for (int process = 0; process < processes; process++) {
		if (must(fork()) != 0)
			continue;
		close(gate[1]);
		want(read(gate[0], &byte, 1) == 0);
		work(process, objects);
		_exit(0);
	}
	close(gate[0]);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	close(gate[1]);
	int status, failures = 0;
	for (int process = 0; process < processes; process++) {
		must(wait(&status));
		failures += status != 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%s: %d processes, %d objects each: %.2f s\n", what, processes, objects,
	       (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	fflush(stdout);
	want(failures == 0);
}

int main(int argc, char **argv)
{
	need_args(argc, 3);
	int processes = atoi(argv[1]);
	int objects = atoi(argv[2]);
	want(count_objects() == 0);
	phase("create", processes, objects, create_all);
	want(count_objects() == (long)processes * objects);
	phase("unlink", processes, objects, unlink_all);
	want(count_objects() == 0);
	return 0;
}
