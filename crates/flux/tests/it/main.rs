//! Drives the real `flux` executable as its users do: a project, a server, commands, HTTP.

mod cli;
mod dev;
mod harness;
mod kill;
mod offline;
mod serve;
