/* An unlinked object of a random name as an anonymous region, its descriptor
 * passed by SCM_RIGHTS to a process that could not open it by name. */
#include "program.h"

static int make_region(void)
{
	char name[] = "/shm-XXXXXX";
	for (int attempt = 0; attempt < 100; attempt++) {
		unsigned number = (unsigned)getpid() * 2654435761u + (unsigned)attempt * 40503u;
		snprintf(name, sizeof(name), "/shm-%06x", number & 0xffffff);
		int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd == -1 && errno == EEXIST)
			continue;
		must(fd);
		must(shm_unlink(name));
		want(shm_open(name, O_RDWR, 0) == -1 && errno == ENOENT);
		return fd;
	}
	fail(__FILE__, __LINE__, "a free name");
}

static void send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte = 'x';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	want(sendmsg(socket, &msg, 0) == 1);
}

static int receive_fd(int socket)
{
	char control[CMSG_SPACE(sizeof(int))];
	char byte;
	int fd;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control) };
	want(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) == 1);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	want(cmsg && cmsg->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	return fd;
}

static void child(int socket)
{
	int fd = receive_fd(socket);
	struct stat st;
	must(fstat(fd, &st));
	want(st.st_nlink == 0 && st.st_size == OBJECT_SIZE);
	struct shared *shared = map(fd, PROT_READ | PROT_WRITE);
	want(strcmp(shared->text, "from the parent") == 0);
	strcpy(shared->tail, "from the child");
	/* It grows and shrinks without a name. */
	must(ftruncate(fd, 2 * OBJECT_SIZE));
	want(pwrite(fd, "end", 3, 2 * OBJECT_SIZE - 3) == 3);
	want(write(socket, "k", 1) == 1);
	exit(0);
}

int main(void)
{
	int sockets[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	/* Forked before the region exists: it has no way to it but the socket. */
	pid_t pid = must(fork());
	if (pid == 0)
		child(sockets[1]);
	int fd = make_region();
	must(ftruncate(fd, OBJECT_SIZE));
	struct shared *shared = map(fd, PROT_READ | PROT_WRITE);
	strcpy(shared->text, "from the parent");
	send_fd(sockets[0], fd);
	char byte;
	want(read(sockets[0], &byte, 1) == 1);
	want(strcmp(shared->tail, "from the child") == 0);
	struct stat st;
	must(fstat(fd, &st));
	want(st.st_size == 2 * OBJECT_SIZE);
	/* By /proc it can still be opened, for reading and writing. */
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = must(open(path, O_RDWR | O_CLOEXEC));
	char end[3];
	want(pread(again, end, 3, 2 * OBJECT_SIZE - 3) == 3 && memcmp(end, "end", 3) == 0);
	int status;
	must(waitpid(pid, &status, 0));
	want(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}
