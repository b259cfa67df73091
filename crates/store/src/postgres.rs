//! The store in a PostgreSQL database, beside the journal on the disk.
//!
//! Who wants a connection names a [`Target`], made from a URL, and says by a [`Profile`] how the
//! session behaves. The teller takes a connection of its own, queries share a [`Pool`].

mod address;
mod connect;
mod durability;
mod failure;
mod password;
mod pool;
mod session;
mod target;
mod tls;

pub use connect::Driver;
pub use durability::check_durability;
pub use failure::Failure;
pub(crate) use failure::words;
pub use password::Passwords;
pub use pool::{Pool, PoolLimits, PoolStatus};
pub use session::{Profile, Role};
pub use target::Target;
