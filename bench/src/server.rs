//! A server that speaks like S3, over a folder: real requests, real signatures, real files, and no
//! slower than it must be, so that those who ask are seen and not it.
//!
//! It runs in a process of its own, which is this program again, so that neither its memory nor its
//! threads are counted as those of whoever asks.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;

use crate::asking::runtime;
use crate::folder::Folder;

/// One that is there until this is dropped.
pub struct Server {
    process: Child,
    address: String,
    folder: Folder,
}

impl Server {
    /// One without any bucket.
    pub fn start() -> Self {
        let folder = Folder::new();
        let mut process = Command::new(env::current_exe().expect("it is known"))
            .arg(SERVE)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let output = process.stdout.take().expect("was asked for");
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address).expect("it says where it listens");
        Self { process, address: address.trim().to_owned(), folder }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name of a bucket, which is there after this.
    pub fn bucket(&self, name: &'static str) -> &'static str {
        fs::create_dir_all(self.folder.path().join(name)).expect("can be made");
        name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is that server, if the arguments of the program say so, until whoever started it is gone.
pub fn serve() -> Option<ExitCode> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(SERVE) {
        return None;
    }
    let folder = arguments.next().expect("the folder is named");
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime().block_on(listen(Path::new(&folder))).expect("there is a port");
    Some(ExitCode::FAILURE)
}

async fn listen(folder: &Path) -> io::Result<()> {
    let service = service(folder);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        // An error is a client that has gone.
        tokio::spawn(async { drop(answers.await) });
    }
}

fn service(folder: &Path) -> S3Service {
    let files = s3s_fs::FileSystem::new(folder).expect("the folder is there");
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    service.build()
}

/// Who may ask.
pub const KEY: &str = "bench";
pub const SECRET: &str = "known to everybody";
const SERVE: &str = "serve-s3";
