//! Requests that are sent on: how far, and what goes along.

use std::cell::OnceCell;
use std::rc::Rc;

use switchboard_core::Secret;

use super::*;

fn with_token(server: SocketAddr) -> Http {
    let headers = [("authorization".to_owned(), Secret::from("Bearer sesame"))].into();
    made(&HttpDiskConfig { headers, ..config(server) }).unwrap()
}

#[test]
fn what_is_said_to_one_server_is_not_said_to_another() {
    beside(async {
        let part = written("206 Partial Content", "Content-Range: bytes 2-4/9\r\n", "cde");
        let (other, told_other) = answering(&part).await;
        let on = format!("Location: http://{other}/elsewhere?signed=1\r\n");
        let (home, told_home) = answering(&written("302 Found", &on, "")).await;
        let disk = with_token(home);
        assert_eq!(read(&disk, &range(2..5)).await.unwrap(), "cde");
        let home = told_home.borrow()[0].to_lowercase();
        assert!(home.contains("\r\nauthorization: bearer sesame\r\n"), "{home}");
        let other = told_other.borrow()[0].to_lowercase();
        assert!(other.starts_with("get /elsewhere?signed=1 "), "{other}");
        assert!(other.contains("\r\nrange: bytes=2-4\r\n"), "{other}");
        assert!(other.contains("\r\naccept-encoding: identity\r\n"), "{other}");
        assert!(!other.contains("sesame"), "{other}");
    });
}

#[test]
fn whoever_is_sent_back_by_another_server_does_not_come_in_our_name() {
    beside(async {
        let (away, back) = (Rc::new(OnceCell::new()), Rc::new(OnceCell::new()));
        let on = Rc::clone(&away);
        let (home, told) = choosing(move |request| {
            if request.starts_with("GET /secrets ") {
                return written("200 OK", "", "for all");
            }
            written("302 Found", &format!("Location: http://{}/\r\n", on.get().unwrap()), "")
        })
        .await;
        back.set(home).unwrap();
        let (other, _) = choosing(move |_| {
            let location = format!("Location: http://{}/secrets\r\n", back.get().unwrap());
            written("302 Found", &location, "")
        })
        .await;
        away.set(other).unwrap();
        assert_eq!(read(&with_token(home), &Read::default()).await.unwrap(), "for all");
        let told = told.borrow();
        assert!(told[0].contains("sesame") && !told[1].contains("sesame"), "{told:?}");
    });
}

#[test]
fn on_the_same_server_everything_goes_along() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        beside(async {
            let (server, asked) = choosing(move |request| {
                if request.starts_with("GET /public/k ") {
                    return written(status, "Location: moved/k\r\n", "");
                }
                written("200 OK", "", "moved")
            })
            .await;
            assert_eq!(read(&with_token(server), &Read::default()).await.unwrap(), "moved");
            let asked = asked.borrow()[1].to_lowercase();
            assert!(asked.starts_with("get /public/moved/k "), "{status}: {asked}");
            assert!(asked.contains("\r\nauthorization: bearer sesame\r\n"), "{status}: {asked}");
        });
    }
}

#[test]
fn a_server_that_sends_on_for_ever_is_followed_as_often_as_was_said() {
    beside(async {
        let (server, asked) = answering(&written("302 Found", "Location: /again\r\n", "")).await;
        let error = at(server).head(key("k")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(asked.borrow().len(), 6);
        let never = HttpDiskConfig { redirects_max: 0, ..config(server) };
        assert!(made(&never).unwrap().head(key("k")).await.is_err());
        assert_eq!(asked.borrow().len(), 7);
    });
}

#[test]
fn what_is_sent_on_as_a_folder_is_no_object() {
    beside(async {
        let (server, asked) =
            answering(&written("301 Moved", "Location: /public/k/\r\n", "")).await;
        let disk = at(server);
        assert_eq!(disk.head(key("k")).await.unwrap_err().kind(), ErrorKind::NotFound);
        let read = disk.get(key("k"), &Read::default()).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::NotFound);
        assert_eq!(asked.borrow().len(), 2, "nobody goes there");
    });
}
