//! A transport for other programs, by Shadowsocks' conventions.

use std::time::Duration;

use daylight_tunnel::plugin::{Environment, sip003};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::server::pattern;

const LEN: usize = 1_000_003;

fn environment(listen: u16, to: u16, options: &str) -> Environment {
    let variables = [
        ("SS_LOCAL_HOST", "127.0.0.1"),
        ("SS_LOCAL_PORT", &listen.to_string()),
        ("SS_REMOTE_HOST", "127.0.0.1"),
        ("SS_REMOTE_PORT", &to.to_string()),
        ("SS_PLUGIN_OPTIONS", options),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Free a moment ago.
async fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_carried_whole_and_each_way_ends_by_itself() {
    let run = async {
        let folder = tempfile::tempdir().unwrap();
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = (port().await, port().await);
        let options = format!("server;state={}", folder.path().display());
        // A server's near side is the service.
        let server = environment(service.local_addr().unwrap().port(), far, &options);
        let (say, said) = oneshot::channel();
        tokio::spawn(async move {
            sip003::run(&server, |line| say.send(line.to_owned()).unwrap()).await.unwrap();
        });
        let said = said.await.unwrap();
        let (_, certificate) = said.split_once("cert=").unwrap();
        let client = environment(near, far, &format!("cert={certificate}"));
        tokio::spawn(async move { sip003::run(&client, |_| ()).await.unwrap() });
        let mut program = loop {
            match TcpStream::connect(("127.0.0.1", near)).await {
                Ok(program) => break program,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let ask = async {
            program.write_all(&pattern(0, LEN)).await.unwrap();
            program.shutdown().await.unwrap();
            let mut answer = Vec::new();
            program.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let answer = async {
            let (mut connection, _) = service.accept().await.unwrap();
            let mut asked = Vec::new();
            connection.read_to_end(&mut asked).await.unwrap();
            connection.write_all(&pattern(7, LEN)).await.unwrap();
            asked
        };
        let (answer, asked) = tokio::join!(ask, answer);
        assert!(asked == pattern(0, LEN) && answer == pattern(7, LEN));
    };
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("all bytes");
}
