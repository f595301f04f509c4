//! Goal: each message and each step of the specification's two pages is sent, answered and used by our
//! runtime as it is written there. Method: two runtimes and a Message Node in a world without a network; one
//! test for each heading, whose text it quotes. The page's JSON is read as it stands: placeholders are filled
//! in from the world, then the message sent must be equal, member by member, with none missing and none
//! added.

mod connection_messages;
mod delivery;
mod page;
#[path = "../support/world.rs"]
mod world;
