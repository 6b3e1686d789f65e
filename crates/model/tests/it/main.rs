//! The model against the files it is a contract for. One binary; each contract has its module.

mod golden_journals;
