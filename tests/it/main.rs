//! The promises of Lighterman, a file each, shown from outside: the real binary works against the
//! sandbox, and what it leaves behind is read as a user reads it.

// What all of them stand on: a provider's folder, the port's servers, the binary.
mod harness;

// The samples end exactly as samples/expected.json says.
mod samples;

// A fault of the world is not a fault of the record: nothing is lost, nothing is set aside.
mod world;

// The contract, tried from outside with a server of its own: what the servers see.
mod contract_fake;
mod contract_http;
mod contract_shop;
mod contract_config;
mod contract_scr;
mod contract_results;
mod contract_pickup;
