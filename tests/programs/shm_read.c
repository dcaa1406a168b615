/* Opens by name what shm_write.c made, in a process that knows only the name. */
#include "program.h"

int main(int argc, char **argv)
{
	struct stat st;
	int value;

	need_args(argc, 2);
	int fd = must(shm_open(argv[1], O_RDWR, 0));
	must(fstat(fd, &st));
	want(st.st_size == OBJECT_SIZE);
	struct shared *shared = map(fd, PROT_READ | PROT_WRITE);
	want(strcmp(shared->text, "written through a mapping") == 0);
	want(strcmp(shared->tail, "last page") == 0);

	int ro = must(shm_open(argv[1], O_RDONLY, 0));
	want(mmap(NULL, OBJECT_SIZE, PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED && errno == EACCES);
	want(ftruncate(ro, 0) == -1 && errno == EINVAL);
	struct shared *view = map(ro, PROT_READ);
	struct shared *copy = mmap(NULL, OBJECT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);
	want(copy != MAP_FAILED);
	copy->text[0] = 'X';
	want(view->text[0] == 'w');

	for (value = 1; value <= TURNS; value++) {
		lock(shared);
		while (shared->turn != READER)
			wait_turn(shared);
		want(shared->value == value);
		want(view->value == value);
		shared->turn = WRITER;
		wake(shared);
		unlock(shared);
	}
	return 0;
}
