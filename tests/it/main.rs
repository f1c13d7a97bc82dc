//! The promises of Lighterman, a file each, shown from outside: the real binary works against the
//! sandbox, and what it leaves behind is read as a user reads it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test is for")]

// What all of them stand on: a provider's folder, the port's servers, the binary.
mod harness;

// What a newcomer sees first: the demo's numbers, and the README's first customer.
mod demo;
mod readme;

// What would be sent, and every problem, before anything is sent.
mod preview;

// Good and bad files of every format come out as is written beside them.
mod corpus;

// The samples end exactly as samples/expected.json says.
mod samples;

// A run that goes on: it sees files by itself, answers other commands, and stops in good order.
mod daemon;

// Files from partners' SFTP servers: fetched once, and put away there.
mod sftp;

// A run at a terminal shows how far it is.
mod progress;

// A source with a schedule is looked into at its times.
mod schedules;

// A changed config is taken in while the work goes on.
mod reload;

// Under systemd: units, what the service manager and the journal hear, and who holds the state.
mod systemd;
// And as a package of Debian.
mod package;

// Assignments: at most 20 at a time, one call a release, in order.
mod scr;

// Transfers and revokes: confirmed, and overtaken by nothing.
mod transfers;

// Releases that are blocked, deleted, gone or not ours: what waits, and what is set aside.
mod parking;

// Invitations from a file, settled by the answer.
mod invitations;

// Drivers' names stay at home where others see what is sent.
mod stand_ins;

// Certified Pick up: what is accepted is parked until its verdict.
mod cpu;
mod cpu_bulk;

// Notifications that come in: proven, durable, and worked on.
mod receiver;
mod releases;

// What is queued for the ERP becomes files in its own dialect.
mod outbox;

// A fault of the world is not a fault of the record: nothing is lost, nothing is set aside.
mod wakes;
mod world;

// One customer cannot hurt another.
mod neighbours;

// Order, rate, and what is told of a record that may have arrived.
mod delivery;

// Client certificates, and the proxy of the environment.
mod wires;

// Environments beside each other: nothing crosses.
mod environments;

// A process that is killed loses nothing and repeats only what was in flight.
mod crash;

// Wherever the process is killed or the disk fails, nothing is lost and nothing is left half.
mod faults;

// A full disk, a folder that cannot be written or does not answer, a writer that does not let go.
mod custody;

// Logging in to SFTP servers, and which of them are trusted.
mod sftp_logins;

// The ledger as a whole: written as text and read back, and what is said when it does not open.
mod ledger;
mod repair;

// Everything at once, and kills.
mod storm;

// The contract, tried from outside with a server of its own: what the servers see.
mod contract_fake;
mod contract_http;
mod contract_shop;
mod contract_config;
mod contract_scr;
mod contract_results;
mod contract_pickup;
mod contract_commands;
mod contract_secrets;
mod contract_map;

// Every endpoint of the SCR document, asked and answered.
mod scr_endpoints;
// And by people, with and without a daemon.
mod asking;

// What was set aside can be looked at, discarded and tried again.
mod aside;
mod again;
