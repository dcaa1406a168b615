//! Two processes for one mount: the supervisor, which owns all that must not be lost, and the worker,
//! which serves.
//!
//! The supervisor has the connection to the kernel, the data and the control socket, and does next to
//! nothing: it starts a worker, hands it copies of its descriptors, and starts another one when it dies. The
//! worker is this program, executed anew: nothing of the supervisor's memory is in it. They talk over one
//! socket, whose end tells each of the other's death.
//!
//! - `message`: what they say to each other;
//! - `configuration`: the exports in force;
//! - `supervising`: the one side; `ending`: the end of a worker; `stuck`: one that has ended
//!   and cannot be waited for; `restarts`: when the next one is started; `cause`: why
//!   one died; `watch`: whether one hangs; `kept`: what it owns; `upgrade`: another program for it; `state`: another
//!   process in the supervisor's place;
//! - `door`: questions of other threads to whatever worker serves;
//! - `worker`: the other side.

mod cause;
mod configuration;
mod door;
mod ending;
mod kept;
mod message;
mod program;
mod restarts;
mod state;
mod stuck;
mod supervising;
mod upgrade;
mod watch;
mod worker;

pub use self::configuration::Configuration;
pub use self::door::Door;
pub use self::kept::Kept;
pub use self::state::{Descriptors, Saved};
pub use self::supervising::{Supervisor, Turn};
pub use self::upgrade::Order;
pub use self::worker::{Orphaned, Question, is_worker, work};
