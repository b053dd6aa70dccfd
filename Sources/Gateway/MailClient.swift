import SMTPWire

/// The other end of a connection, as it was admitted.
struct SessionPeer: Sendable {
  /// Its IP address; behind a listed proxy that of the client whom the proxy names.
  let address: String
  /// The listed proxy that the connection came through; nil for none.
  var proxy: String?
  /// True when a listed proxy spoke for itself: its connections are not counted as a peer's.
  var isProxyItself: Bool { proxy == address }
}

/// Whom a message comes from: by whose address rights are judged, and who is named in log lines and in the trace field.
struct MailClient: Sendable {
  /// By rights: the peer of the connection, or whom XCLIENT put in its place.
  var peer: String
  /// Who handed the message to whoever hands it to us (XFORWARD), else the peer.
  var address: String
  /// His host name, when a peer that may do so named one.
  var name: String?
  /// How he called himself; empty when he did not.
  var helo: String
  /// The message's name at the peer that forwards it.
  var identifier: String?
  /// "ESMTPS" and its like (RFC 3848), of our own session.
  var proto: String
  /// The user, where one is known.
  var user: String?

  init(_ peer: SessionPeer, _ smtp: SMTPServer) {
    let origin = smtp.origin
    self.peer = smtp.forwarded.address ?? peer.address
    address = origin?.address ?? self.peer
    // A name belongs to its address.
    name = origin?.address == nil ? origin?.name ?? smtp.forwarded.name : origin?.name
    helo = origin?.helo ?? smtp.forwarded.helo ?? smtp.heloName ?? ""
    identifier = origin?.identifier
    proto = smtp.protocolName
    user = smtp.user
  }

  /// Of a connection that no session was made for.
  init(address: String) { (peer, self.address, helo, proto) = (address, address, "", "SMTP") }
}
