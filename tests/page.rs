//! The page for people, in a real Chromium, over the program itself.

#[path = "page/browser.rs"]
mod browser;
#[path = "support/client.rs"]
mod client;
#[path = "page/described.rs"]
mod described;
#[path = "page/pictures.rs"]
mod pictures;
#[path = "support/serving.rs"]
mod serving;
#[path = "page/story.rs"]
mod story;
#[path = "page/town.rs"]
mod town;
