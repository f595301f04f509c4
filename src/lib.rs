//! hyperty-router: skeleton.
pub mod address;
pub mod fib;
pub mod limits;
pub mod message;
pub mod slab;
