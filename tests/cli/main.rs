//! Both programs as child processes: help, option errors, exit codes; the manual; mount(8).

mod common;
mod doctor;
mod helper;
mod manual;
mod words;
