//! PostgreSQL over a pool: the smallest statement, and a hundred rows.

mod peers;
mod users;

use self::peers::{Bb8, Deadpool, Held, Ours, OursAsTheyAre, Peer, Raw, Several, Sqlx};

use crate::asking::{Asker, Shared, asking};
use crate::line::{Contender, Goal, Line, OURS};
use crate::services::Service;

pub use self::peers::{connected, database, deadpool, manager, user, user_of_sqlx};
pub use self::users::{User, Users};

/// The smallest statement, from one task.
pub fn one() -> Line {
    Line {
        name: "postgres",
        about: "Take a connection, run `select 1`, and give it back; one after the other.",
        reference: Raw::NAME,
        threads: &[1],
        figure: None,
        needs: Some(Service::Postgres),
        contenders: vec![
            smallest::<Ours>(ALONE),
            smallest::<Held>(ALONE),
            smallest::<Raw>(ALONE),
            smallest::<Deadpool>(ALONE),
            smallest::<Bb8>(ALONE),
            smallest::<Sqlx>(ALONE),
        ],
        goals: vec![Goal::times(OURS, 1.30, Raw::NAME, 1)],
    }
}

/// The smallest statement, from several tasks.
pub fn one_in_tasks() -> Line {
    Line {
        name: "postgres-16",
        about: "Take a connection, run `select 1`, and give it back; from 16 tasks on 4 worker \
                threads, with 8 connections.",
        reference: Several::NAME,
        threads: &[1],
        figure: None,
        needs: Some(Service::Postgres),
        contenders: vec![
            smallest::<Ours>(MANY),
            smallest::<Several>(MANY),
            smallest::<Raw>(MANY),
            smallest::<Deadpool>(MANY),
            smallest::<Bb8>(MANY),
            smallest::<Sqlx>(MANY),
        ],
        goals: vec![Goal::times(OURS, 1.30, Several::NAME, 1)],
    }
}

/// A hundred rows, from one task.
pub fn rows() -> Line {
    let users = Shared::new();
    Line {
        name: "postgres-rows",
        about: "Take a connection, read 100 rows of 5 columns into structures, and give it back; \
                one after the other.",
        reference: Raw::NAME,
        threads: &[1],
        figure: None,
        needs: Some(Service::Postgres),
        contenders: vec![
            hundred::<Ours>(ALONE, &users),
            hundred::<OursAsTheyAre>(ALONE, &users),
            hundred::<Raw>(ALONE, &users),
            hundred::<Deadpool>(ALONE, &users),
            hundred::<Bb8>(ALONE, &users),
            hundred::<Sqlx>(ALONE, &users),
        ],
        goals: vec![Goal::times(OURS, 1.10, Raw::NAME, 1)],
    }
}

/// A hundred rows, from several tasks.
pub fn rows_in_tasks() -> Line {
    let users = Shared::new();
    Line {
        name: "postgres-rows-16",
        about: "Take a connection, read 100 rows of 5 columns into structures, and give it back; \
                from 16 tasks on 4 worker threads, with 8 connections.",
        reference: Several::NAME,
        threads: &[1],
        figure: None,
        needs: Some(Service::Postgres),
        contenders: vec![
            hundred::<Ours>(MANY, &users),
            hundred::<Several>(MANY, &users),
            hundred::<Raw>(MANY, &users),
            hundred::<Deadpool>(MANY, &users),
            hundred::<Bb8>(MANY, &users),
            hundred::<Sqlx>(MANY, &users),
        ],
        goals: vec![Goal::times(OURS, 1.10, Several::NAME, 1)],
    }
}

/// How many ask, with how many connections.
#[derive(Clone, Copy)]
struct Asked {
    tasks: usize,
    connections: usize,
}

fn smallest<P: Peer>(asked: Asked) -> Contender {
    let make = async move || Smallest(P::new("select 1", asked.connections).await);
    Contender::new(P::NAME, move |_| asking(asked.tasks, make)).of(P::PACKAGES)
}

fn hundred<P: Peer>(asked: Asked, users: &Shared<Users>) -> Contender {
    let users = users.clone();
    let build = move |_| {
        let statement = users.get(|| Users::of(ROWS)).select();
        asking(asked.tasks, async move || Hundred(P::new(&statement, asked.connections).await))
    };
    Contender::new(P::NAME, build).of(P::PACKAGES)
}

struct Smallest<P>(P);

impl<P: Peer> Asker for Smallest<P> {
    async fn ask(&self, turn: usize) {
        assert_eq!(self.0.number(turn).await, 1);
    }
}

struct Hundred<P>(P);

impl<P: Peer> Asker for Hundred<P> {
    async fn ask(&self, turn: usize) {
        assert_eq!(self.0.count(turn).await, ROWS);
    }
}

const ALONE: Asked = Asked { tasks: 1, connections: 4 };
const MANY: Asked = Asked { tasks: 16, connections: 8 };
const ROWS: usize = 100;
