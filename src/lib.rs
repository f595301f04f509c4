//! hyperty-router: skeleton.
pub mod address;
pub mod fib;
pub mod limits;
pub mod link;
pub mod message;
pub mod slab;
pub mod status;
