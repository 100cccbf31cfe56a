//! A database in which nothing lasts: for tests that share one.
//!
//! It is a driver whose connections are all the same one, inside a transaction that is rolled back in the
//! end. Read in this order: [`Sandbox`]; `part`, what looks like a connection; `one`, the connection, and
//! whose turn on it is. Which task has parts at all, the pool says: see `Pool::joint`.
//!
//! For what has to commit there are databases made for one test: [`Template`], what they begin as; `copied`, how
//! they come and go.

mod copied;
mod one;
mod part;
mod template;

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;

use switchboard_core::{BuildContext, Held, Lifecycle, Manager, Name, Override, Reply, Result};

use self::copied::{Copied, Workshop};
use self::one::Shared;
use self::part::Part;
pub use self::template::Template;
use crate::driver::{Begin, Connection, DatabaseDriver, Dialect, Lane};
use crate::pool::Taking;
use crate::{
    DatabaseConfig, Databases, DriverContext, PoolConfig, Served, SlowConfig, TransactionConfig, op,
};

/// A database in which nothing lasts.
///
/// While it is there, every handle of the instance works inside one transaction, which is rolled back when
/// this [ends](Self::end) or is dropped. Transactions become savepoints, hooks after a commit run at the
/// commit that the application sees, and constraints that are checked at the commit are checked there.
///
/// One task works in it at a time. While it has a transaction, a session, a connection of its own or a stream
/// open, what other tasks ask waits, in the order in which it came, for as long as `pool.acquire_timeout` says;
/// then the error names who is there. A statement outside of all that is a turn of its own.
///
/// What the same closure asks beside its transaction, or the same task beside one begun by hand, would have
/// another connection elsewhere. Here it joins:
///
/// - a statement of the handle has a savepoint of its own, so that its failure harms nothing else. It sees what
///   the transaction has done, and is taken back with it;
/// - a transaction is a savepoint inside of the first. It ends for itself, and is taken back with the first;
///   until it has ended, statements of the first wait for it.
///
/// What else differs from the real thing: isolation, time limits and the native client are not to be had; that
/// a transaction only reads is told by the texts of its statements; what a statement alone has violated that
/// is checked at the commit is told at the next one; what begins, ends or commits a transaction by its
/// text is refused, tables included where the server commits for them; what a session leaves on its connection
/// stays until the end, and numbers from sequences are not given back.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # {
/// # use switchboard_core::{Environment, Manager, Registry, Settings};
/// use switchboard_database::{Databases, Sandbox, Statements as _};
///
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
/// # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
/// # let main = databases.handle("main")?;
/// main.execute("create table notes (text varchar(100))", ()).await?;
/// let sandbox = Sandbox::over(&databases, "main").await?;
/// main.execute("insert into notes values (?)", ("gone soon",)).await?;
/// sandbox.end().await?;
///
/// let count: i64 = main.select_value("select count(*) from notes", ()).await?;
/// assert_eq!(count, 0);
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// # }
/// ```
#[must_use = "the sandbox ends when this is dropped"]
pub struct Sandbox {
    // Fields are dropped in this order: nobody comes in any more, then all is taken back.
    over: Option<Override<Databases>>,
    kind: Kind,
}

/// What becomes of all that is done in it.
enum Kind {
    /// It is in a transaction, which is rolled back.
    Transaction(Arc<Shared>),
    /// It is in a database that is removed.
    Database(Copied),
}

impl Sandbox {
    /// Puts a sandbox over the database `name` until it ends.
    #[track_caller]
    pub fn over<'m>(
        databases: &'m Manager<Databases>,
        name: &'m str,
    ) -> impl Future<Output = Result<Self>> + Send + 'm {
        Self::put(databases, name, Location::caller())
    }

    async fn put(
        databases: &Manager<Databases>,
        name: &str,
        at: &'static Location<'static>,
    ) -> Result<Self> {
        let database = databases.get(name).await?;
        let taking = Taking { at, is_long: true, is_scope: true, is_urgent: false };
        let leased = database.line().open(op::CONNECTION, |engine: Held<Databases>| async move {
            let mut taken = engine.take(Lane::Write, taking).await?;
            let begin = Begin { outlives_statements: true, ..Begin::default() };
            engine.begin_transaction(&mut taken, &begin).await?;
            // What is left of a session in the sandbox is known there and not here.
            taken.leaves_residue();
            Ok(taken)
        });
        let leased = leased.await?;
        let size = leased.driver().pools().iter().map(|pool| pool.max).sum();
        let config = leased.driver().config().clone();
        let shared = Arc::new(Shared::new(database, leased, at));

        let build = BuildContext::new(databases.environment(), Name::parse(name)?);
        let config = DatabaseConfig {
            transaction: TransactionConfig { isolation: None, ..config.transaction },
            // As many at a time as elsewhere, made when they are needed.
            pool: PoolConfig { max: NonZeroUsize::new(size), min_idle: 0, ..config.pool },
            // There is no connection beside the one.
            slow: SlowConfig { explain: false, ..config.slow },
            ..config
        };
        let served = Served::joint(Same(shared.clone()), &DriverContext::new(build, config));
        let over = databases.override_instance(name, served)?;
        Ok(Self { over: Some(over), kind: Kind::Transaction(shared) })
    }

    /// Puts a database made for this sandbox in the place of the database `name` until it ends: for what has to
    /// commit, works in many tasks at once, or looks at isolation.
    ///
    /// It begins as `template` says, on the same server and with the same settings, and is removed in the end, also
    /// where the test panics, which waits for that. What is left of tests that were killed is removed by those that
    /// come six hours later.
    ///
    /// Where the server copies databases (`PostgreSQL`, whose user has to be allowed to create them) or files are
    /// copied (`SQLite`, in the folder for temporary files) the template is made once, by one of all tests that
    /// come at the same time, and stays; on `MariaDB` and `MySQL` all its steps are done for each sandbox.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # {
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// use switchboard_database::{Databases, Migrations, Sandbox, Statements as _, Template};
    ///
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
    /// # let main = databases.handle("main")?;
    /// let migrations = Migrations::embedded(&[("1_notes.sql", "create table notes (text varchar(100))")])?;
    /// let template = Template::new().migrated(&migrations);
    ///
    /// let sandbox = Sandbox::copied(&databases, "main", &template).await?;
    /// main.execute("insert into notes values (?)", ("gone soon",)).await?;
    /// sandbox.end().await?;
    ///
    /// assert!(main.rows("select * from notes", ()).await.is_err(), "the table was in the copy");
    /// # template.forget(&databases, "main").await?;
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// # }
    /// ```
    #[track_caller]
    pub fn copied<'m>(
        databases: &'m Manager<Databases>,
        name: &'m str,
        template: &'m Template,
    ) -> impl Future<Output = Result<Self>> + Send + 'm {
        let at = Location::caller();
        async move {
            let workshop = Workshop::of(databases, name).await?;
            let copied = workshop.copy(template, at).await?;
            let over = workshop.put(databases, &copied)?;
            Ok(Self { over: Some(over), kind: Kind::Database(copied) })
        }
    }

    /// Ends it: all that was done is taken back, and whoever still uses it gets an error.
    pub async fn end(mut self) -> Result<()> {
        self.over = None;
        match self.kind {
            Kind::Transaction(shared) => shared.end().await,
            Kind::Database(copied) => copied.end().await,
        }
    }
}

/// The driver of a sandbox.
struct Same(Arc<Shared>);

impl Lifecycle for Same {}

impl DatabaseDriver for Same {
    fn dialect(&self) -> &'static Dialect {
        self.0.dialect()
    }

    fn connect(&self, _lane: Lane) -> Reply<'_, Box<dyn Connection>> {
        Reply::ready(Ok(Box::new(Part::new(self.0.clone()))))
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match &self.kind {
            Kind::Transaction(shared) => shared.at(),
            Kind::Database(copied) => copied.at(),
        };
        f.debug_struct("Sandbox").field("at", &at).finish_non_exhaustive()
    }
}
