//! Two processes for one mount: the supervisor, which owns all that must not be lost, and the worker,
//! which serves.
//!
//! The supervisor has the connection to the kernel, the data and the control socket, and does next to
//! nothing: it starts a worker, hands it copies of its descriptors, and starts another one when it dies. The
//! worker is this program, executed anew: nothing of the supervisor's memory is in it. They talk over one
//! socket, whose end tells each of the other's death.
//!
//! - `message`: what they say to each other;
//! - `supervising`: the one side; `restarts`: when a worker is started; `cause`: why one died;
//! - `door`: questions of other threads to whatever worker serves;
//! - `worker`: the other side.

mod cause;
mod door;
mod message;
mod program;
mod restarts;
mod supervising;
mod worker;

pub use self::door::Door;
pub use self::supervising::{Kept, Supervisor, Turn};
pub use self::worker::{Orphaned, is_worker, work};
