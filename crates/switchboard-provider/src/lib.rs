//! Swappable providers of an application's own: a model, a transcriber, a payment service.
//!
//! A provider has one of four shapes: [`RequestResponse`], [`Stream`], [`Sink`], [`Duplex`]. A family
//! of providers of one shape is a [`Subsystem`](switchboard_core::Subsystem) like any other, so it
//! is configured, listed, checked, guarded, selected, swapped and watched like the built-in ones.
//!
//! ```
//! use std::time::Duration;
//!
//! use switchboard_core::{
//!     Effect, Environment, Manager, Op, Priority, Registry, Result, Settings, Subsystem,
//! };
//! use switchboard_provider::{RequestResponse, Requester, function, request_response};
//!
//! /// Whatever turns a text into another language.
//! struct Translators;
//!
//! impl Subsystem for Translators {
//!     const NAME: &'static str = "translators";
//!     // Translating twice changes nothing, so it may be retried, hedged and failed over.
//!     const OPERATIONS: &'static [Op] = request_response::operations(Effect::Read);
//!     type Driver = dyn RequestResponse<String, String>;
//!     type Handle = Requester<Self>;
//!
//!     fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! /// The settings of a driver are typed, and checked before anything is built.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct SuffixConfig {
//!     suffix: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<()> {
//! let translators = Manager::<Translators>::new(Registry::empty(), &Environment::new())?;
//!
//! // Register a factory.
//! translators.registry().register("suffix", |config: SuffixConfig, _| async move {
//!     Ok(function::request_response("suffix", move |text: String| {
//!         let translated = format!("{text}{}", config.suffix);
//!         async move { Ok(translated) }
//!     }))
//! })?;
//!
//! // Initialise providers: each is built, started and ready.
//! let settings = |suffix| Settings::new().with("driver", "suffix").with("suffix", suffix);
//! let latin = translators.initialise("latin", &settings("us")).await?;
//! translators.initialise("swedish", &settings("en")).await?;
//! assert_eq!(translators.available(), ["latin", "swedish"]);
//!
//! // Get one by name, or whichever a selector chooses, for each call anew.
//! assert_eq!(latin.execute("circ".to_owned()).await?, "circus");
//! translators.group_of_all("any", Priority)?;
//! translators.set_default("any")?;
//! let any = translators.get_default().await?;
//! assert_eq!(any.execute("circ".to_owned()).await?, "circus");
//!
//! // Initialise again: the old one is closed, handles follow.
//! translators.initialise("latin", &settings("um")).await?;
//! assert_eq!(latin.execute("for".to_owned()).await?, "forum");
//!
//! translators.close(Duration::from_secs(5)).await.into_result()
//! # }
//! ```
//!
//! Read in this order: [`Provider`], the base of all; the four shapes, each with the handle of its
//! families ([`Requester`], [`Streamer`], [`Sender`], [`Dialer`]) and its rules for the gates;
//! [`function`], providers from functions; [`guard`], the gates around a provider that no manager looks
//! after; [`compose`], providers made of providers; [`flow`], what streams can be turned into; [`hold`],
//! providers that keep something between calls; [`bridge`], to and from other libraries.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `tower` | [`bridge::tower`](bridge): services of providers, providers of services, gates as layers |
//! | `futures` | [`bridge::futures`](bridge): items and conversations as streams and sinks, and back |
//! | `conformance` | `conformance`: the rules of each shape as tests, for dev-dependencies |
//!
//! # For those who know provider managers
//!
//! | what one looks for | here | what is better |
//! |---|---|---|
//! | register a factory | [`Registry::register`] | settings are typed; a name taken twice is an error with both places |
//! | initialise with a map of anything | [`Manager::initialise`] | a map is accepted at the edge, by [`Settings::accept`], and all its mistakes are told at once; nothing stays behind where it failed; an instance that is there is swapped, and the old one closed |
//! | initialise with a wrap | [`Manager::initialise_wrapped`] | the wrap comes after start, and not where factory or start failed; the provider itself is still started, checked and closed, whatever the wrap passes on; a swap wraps the new one too |
//! | get, through a selector | [`Manager::group_of_all`], as the default | the choice is made for each call, without asking anybody how they are, and fails over |
//! | get by name | [`Manager::get`], [`Manager::handle`] | the handle follows swaps; an unknown name is told with the nearest |
//! | set the default | [`Manager::set_default`] | it must be there; what failed to initialise is not |
//! | available | [`Manager::available`] | what health checks have found; nobody is asked |
//! | close all | [`Manager::close`] | in reverse order, within a limit, every error kept |
//! | resilience around a provider | a [`Policy`], or [`guard`] | one order of gates for all shapes, and retries that cannot multiply |
//!
//! The name of a driver, an instance, a guard or a connector is never empty: that is an error at once.
//!
//! [`Manager::available`]: switchboard_core::Manager::available
//! [`Manager::close`]: switchboard_core::Manager::close
//! [`Manager::get`]: switchboard_core::Manager::get
//! [`Manager::group_of_all`]: switchboard_core::Manager::group_of_all
//! [`Manager::handle`]: switchboard_core::Manager::handle
//! [`Manager::initialise`]: switchboard_core::Manager::initialise
//! [`Manager::initialise_wrapped`]: switchboard_core::Manager::initialise_wrapped
//! [`Manager::set_default`]: switchboard_core::Manager::set_default
//! [`Policy`]: switchboard_core::Policy
//! [`Registry::register`]: switchboard_core::Registry::register
//! [`Settings::accept`]: switchboard_core::Settings::accept

mod asked;
pub mod bridge;
pub mod compose;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod duplex;
pub mod flow;
pub mod function;
pub mod guard;
pub mod hold;
mod provider;
pub mod request_response;
pub mod sink;
pub mod stream;

pub use compose::adapt::{Adapt, AdaptStep};
pub use compose::chain::Chain;
pub use compose::fan_out::FanOut;
pub use compose::tap::Tap;
pub use duplex::{Conversation, Dialer, Duplex, OpenConversation};
pub use flow::drain::{Drained, drain};
pub use flow::fan_out::{FanOutStream, Sourced};
pub use flow::windows::{Windowed, Windows, windows};
pub use hold::connector::{Connected, Connector, Exchange};
pub use hold::context::{ContextStore, MemoryContexts};
pub use hold::stateful::{Answered, NextContext, Stateful, Turn};
pub use hold::turns::Turns;
pub use provider::Provider;
pub use request_response::{RequestResponse, Requester};
pub use sink::{Sender, Sink};
pub use stream::{Items, OpenStream, Stream, Streamer};
