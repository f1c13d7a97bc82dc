//! Lighterman carries data from systems that can only drop files to the port's APIs.
//!
//! # How a file travels
//!
//! * [`pickup`] sees that a file is finished and claims it: from then on it is ours.
//! * [`inspect`] passes over its bytes once, before anything is sent: who it is, whether it is sound
//!   to its end, how many records it has.
//! * [`read`] turns its bytes into records, and [`map`] turns each record into what the port's API
//!   wants, or says what is wrong with it.
//! * [`deliver`] gets the records to their channel, message by message, and says what became of
//!   each; [`remote`] is how the outside is spoken to.
//! * [`settle`] puts away the original, the failed records and a receipt.
//!
//! Under all of them lies the [`ledger`], the durable account of every file and record, and the
//! [`spool`], where claimed files are the queue; every operation on files that this custody rests on
//! is in [`disk`], and every session with a partner's server in [`sftp`]. [`pipeline`] tells one
//! file's story, [`worker`] holds many files. [`sync`] is the way back: notifications of the port's
//! APIs come in, and files for the ERP go out. [`sandbox`] stands in for the port's servers.
//!
//! # What each part does not know
//!
//! * Stages do not import each other; they meet in [`pipeline`].
//! * [`pickup`] knows nothing of a file's content, [`map`] not where a record came from, and
//!   [`deliver`] not how a message was made.
//! * [`read`] and [`map`] run from a test with a string: no runtime, no clock, no disk; nor does
//!   [`schedule`] know what time it is.
//! * sled is named in [`ledger`] only, notify in [`pickup`], ssh2 in [`sftp`], quick-xml in [`read`],
//!   cron in [`schedule`], reqwest in [`remote`], on the control socket in [`api`], and where the
//!   [`sandbox`] posts notifications.
//! * A file leaves the spool last, after the ledger has every verdict and its copy is put away.
//! * [`sandbox`] imports nothing of the crate, so that a misreading of the remote APIs cannot agree
//!   with itself.

// Plain data that the stages hand to each other.
pub mod model;
// When a source is looked into.
pub mod schedule;
// What the provider and the customers have written, checked as a whole.
pub mod config;

// The path of a file, in its order.
pub mod pickup;
pub mod inspect;
pub mod read;
pub mod map;
pub mod remote;
pub mod deliver;
pub mod settle;

// What lies under the path.
pub mod ledger;
pub mod spool;
pub mod sftp;
pub mod disk;

// One file, and many.
pub mod pipeline;
pub mod worker;
// The way back: what the port's APIs tell us of themselves.
pub mod sync;
// What is no longer needed goes.
pub mod tidy;
// What lies under the path, made anew after damage.
pub mod repair;

// What people and other programs see.
pub mod api;
pub mod sandbox;
pub mod cli;
