//! A network between browser and hub that can be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Network {
    pub address: SocketAddr,
    /// Where connections lead; nowhere while it is cut.
    pub through: watch::Sender<Option<SocketAddr>>,
    /// Where the hub is.
    pub hub: watch::Sender<SocketAddr>,
}

impl Network {
    pub async fn start(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Self {
            address: listener.local_addr().unwrap(),
            through: watch::Sender::new(Some(hub)),
            hub: watch::Sender::new(hub),
        };
        let mut through = network.through.subscribe();
        tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                let mut cut = through.clone();
                let Some(hub) = *through.borrow_and_update() else {
                    continue;
                };
                tokio::spawn(async move {
                    let Ok(mut inside) = TcpStream::connect(hub).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut outside, &mut inside) => {}
                        _ = cut.wait_for(|through| *through != Some(hub)) => {}
                    }
                });
            }
        });
        network
    }
}
