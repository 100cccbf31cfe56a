//! One provider that fails over to another.
//!
//! Two servers give prices over TCP. The first goes away and comes back; callers always get a price.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Descriptor, Effect, Environment, Error, ErrorKind, Event, Health, Lifecycle, Manager, Op,
    Registry, Reply, Result, Settings, Subsystem,
};
use switchboard_provider::{Provider, RequestResponse, Requester, request_response};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what it does")]
async fn main() -> Result<()> {
    let (primary, primary_address) = PriceServer::start("primary", "127.0.0.1:0").await?;
    let (_spare, spare_address) = PriceServer::start("spare", "127.0.0.1:0").await?;

    let environment = Environment::new();
    let _listener = environment.events().subscribe(|event| {
        if let Event::FailedOver { from, to, .. } = event {
            println!("  failed over from {from} to {to}");
        }
    });
    let prices = Manager::<Prices>::new(Registry::with_built_ins()?, &environment)?;
    for (name, address) in [("primary", primary_address), ("spare", spare_address)] {
        let settings = Settings::new()
            .with("driver", "tcp")
            .with("address", address.to_string())
            .with("policy", Settings::new().with("attempt_timeout", "1s"));
        prices.configure(name, &settings)?;
    }
    let safe = Settings::new()
        .with("members", ["primary", "spare"])
        .with("select", "priority")
        .with("policy", Settings::new().with("deadline", "3s"));
    prices.configure("safe", &safe)?;
    let safe = prices.handle("safe")?;
    let health = async || {
        for report in prices.health(Duration::from_secs(1)).await {
            println!("  {} is {}", report.instance, report.health.status);
        }
    };

    println!("both are there:     {}", safe.execute("tea".to_owned()).await?);

    drop(primary);
    println!("the first has gone: {}", safe.execute("tea".to_owned()).await?);

    health().await;
    println!("and is passed over: {}", safe.execute("tea".to_owned()).await?);

    let (_primary, _) = PriceServer::start("primary", &primary_address.to_string()).await?;
    health().await;
    println!("the first is back:  {}", safe.execute("tea".to_owned()).await?);

    prices.close(Duration::from_secs(5)).await.into_result()
}

/// Whatever knows prices.
struct Prices;

impl Subsystem for Prices {
    const NAME: &'static str = "prices";
    const OPERATIONS: &'static [Op] = request_response::operations(Effect::Read);
    type Driver = dyn RequestResponse<String, String>;
    type Handle = Requester<Self>;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        registry.register(
            Descriptor::new("tcp").summary("asks a server, one line for one line"),
            |config: TcpConfig, _| async move { Ok(Tcp(config)) },
        )
    }
}

/// Where the server is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TcpConfig {
    address: SocketAddr,
}

/// Asks over a connection of its own for each price.
struct Tcp(TcpConfig);

impl Tcp {
    async fn connect(&self) -> Result<TcpStream> {
        // What was not reached has done nothing, so asking another one is safe.
        TcpStream::connect(self.0.address).await.map_err(|error| unavailable(error).not_applied())
    }
}

impl Lifecycle for Tcp {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async { self.connect().await.map(|_| Health::up()) })
    }
}

impl Provider for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }
}

impl RequestResponse<String, String> for Tcp {
    fn execute(&self, good: String) -> Reply<'_, String> {
        Reply::run(async move {
            let mut server = BufReader::new(self.connect().await?);
            server.write_all(format!("{good}\n").as_bytes()).await.map_err(unavailable)?;
            let mut price = String::new();
            match server.read_line(&mut price).await.map_err(unavailable)? {
                0 => Err(Error::new(ErrorKind::Unavailable, "the server hung up")),
                _ => Ok(price.trim_end().to_owned()),
            }
        })
    }
}

fn unavailable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the server cannot be reached").with_source(error)
}

/// A server of prices, which ends when it is dropped.
struct PriceServer(#[expect(dead_code, reason = "dropping it ends the tasks in it")] JoinSet<()>);

impl PriceServer {
    async fn start(name: &'static str, address: &str) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await.map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(Self::answer(name, client));
            }
        });
        Ok((Self(tasks), address))
    }

    async fn answer(name: &'static str, client: TcpStream) {
        let mut client = BufReader::new(client);
        let mut good = String::new();
        while matches!(client.read_line(&mut good).await, Ok(length) if length > 0) {
            let price = good.trim_end().len() * 7;
            let line = format!("{} costs {price}, says {name}\n", good.trim_end());
            if client.write_all(line.as_bytes()).await.is_err() {
                return;
            }
            good.clear();
        }
    }
}
