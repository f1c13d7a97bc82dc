//! The promises of Lighterman, a file each, shown from outside: the real binary works against the
//! sandbox, and what it leaves behind is read as a user reads it.

// What all of them stand on: a provider's folder, the port's servers, the binary.
mod harness;

// A file travels from the inbox to the channel, and what is left of it tells the truth.
mod smoke;
