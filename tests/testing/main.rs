//! What programs use to test themselves: the values that their own functions take. By the public API
//! alone.

#![cfg(feature = "client")]

mod values;
