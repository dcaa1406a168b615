"""multiprocessing's locks, semaphores, conditions and queues: sem_open(3) each."""

import multiprocessing

ROUNDS = 500


def count(lock, total):
    for _ in range(ROUNDS):
        with lock:
            total.value += 1


def exchange(mine, theirs, barrier, queue, number):
    barrier.wait()
    for _ in range(ROUNDS):
        mine.acquire()
        theirs.release()
    queue.put(number)


def main():
    context = multiprocessing.get_context("spawn")
    lock, total = context.Lock(), context.Value("i", 0, lock=False)
    workers = [context.Process(target=count, args=(lock, total)) for _ in range(2)]
    first, second = context.Semaphore(1), context.Semaphore(0)
    barrier, queue = context.Barrier(2), context.Queue()
    workers.append(context.Process(target=exchange, args=(first, second, barrier, queue, 1)))
    workers.append(context.Process(target=exchange, args=(second, first, barrier, queue, 2)))
    for worker in workers:
        worker.start()
    assert {queue.get(), queue.get()} == {1, 2}
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, worker.exitcode
    assert total.value == 2 * ROUNDS, total.value
    bounded = context.BoundedSemaphore(2)
    assert bounded.acquire(False) and bounded.acquire(False) and not bounded.acquire(False)
    bounded.release()
    bounded.release()
    try:
        bounded.release()
        raise AssertionError("released too often")
    except ValueError:
        pass


if __name__ == "__main__":
    main()
