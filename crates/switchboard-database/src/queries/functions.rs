//! Functions of the program that run named queries.

/// Writes functions that run named queries: for each a name, typed parameters, and what it gives.
///
/// Behind the arrow stands the word of the [`QueryKind`](crate::QueryKind), with the type of a row or a
/// value in parentheses where there is one. The function runs the query that is called like it, or the
/// one behind `as`. It takes whatever runs [`Statements`](crate::Statements), then the parameters, which
/// it gives by name: the statement writes them as `:name`, `@name` or `%(name)s`. The queries are those
/// of the instance, or of the `static` in the first line.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # {
/// # use switchboard_core::{Environment, Manager, Registry, Settings};
/// use std::sync::LazyLock;
///
/// use switchboard_database::{Databases, Queries, query_functions};
///
/// // In an application: `queries!("sql/users.sql")`.
/// static QUERIES: LazyLock<Queries> = LazyLock::new(|| {
///     let users = "
/// -- name: users.create :script
/// create table users (id integer primary key, name text);
/// -- name: add_user :exec
/// insert into users (id, name) values (:id, :name);
/// -- name: find_user :opt
/// select id, name from users where id = :id;";
///     Queries::embedded(&[("users.sql", users)]).expect("no mistakes in what is built in")
/// });
///
/// #[derive(serde::Deserialize)]
/// struct User {
///     name: String,
/// }
///
/// query_functions! {
///     in QUERIES;
///     fn create_users() -> script as "users.create";
///     /// Adds a user.
///     pub fn add_user(id: i64, name: &str) -> exec;
///     /// The user with that number, if there is one.
///     fn find_user(id: i64) -> opt(User);
/// }
///
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
/// # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
/// # let main = databases.handle("main")?;
/// create_users(&main).await?;
/// add_user(&main, 7, "Ada").await?;
/// let found = find_user(&main, 7).await?;
/// assert_eq!(found.map(|user| user.name).as_deref(), Some("Ada"));
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// # }
/// ```
#[macro_export]
macro_rules! query_functions {
    (in $set:expr; $($rest:tt)*) => {
        $crate::query_functions!(@each [$set] $($rest)*);
    };
    (@each [$($set:expr)?]) => {};
    (@each [$($set:expr)?]
        $(#[$about:meta])*
        $visibility:vis fn $name:ident($($param:ident: $type:ty),* $(,)?)
            -> $kind:ident $(($answer:ty))? $(as $query:literal)?;
        $($rest:tt)*
    ) => {
        $(#[$about])*
        #[track_caller]
        $visibility fn $name(
            on: &impl $crate::Statements,
            $($param: $type),*
        ) -> impl ::core::future::Future<
            Output = $crate::__Result<$crate::query_functions!(@answer $kind $(($answer))?)>,
        > + Send {
            let query = $crate::query_functions!(@name $name $($query)?);
            let query = $crate::query_functions!(@query on, query $(, $set)?);
            $crate::query_functions!(@run query, $kind, [$($param)*])
        }
        $crate::query_functions!(@each [$($set)?] $($rest)*);
    };
    (@name $name:ident) => { ::core::stringify!($name) };
    (@name $name:ident $query:literal) => { $query };
    (@query $on:ident, $query:ident) => { $crate::Statements::query($on, $query) };
    (@query $on:ident, $query:ident, $set:expr) => {
        $crate::Queries::on(&$set, $on, $query)
    };
    (@run $query:ident, script, []) => { $query.script() };
    (@run $query:ident, $kind:ident, [$($param:ident)*]) => {
        $query.$kind($crate::Params::Named(::std::vec![
            $((::core::stringify!($param).into(), $crate::Value::from($param))),*
        ]))
    };
    (@answer one($answer:ty)) => { $answer };
    (@answer opt($answer:ty)) => { ::core::option::Option<$answer> };
    (@answer many($answer:ty)) => { ::std::vec::Vec<$answer> };
    (@answer value($answer:ty)) => { $answer };
    (@answer stream($answer:ty)) => { $crate::RowStream<$answer> };
    (@answer exec) => { $crate::Done };
    (@answer affected) => { u64 };
    (@answer script) => { () };
    ($($rest:tt)*) => {
        $crate::query_functions!(@each [] $($rest)*);
    };
}
