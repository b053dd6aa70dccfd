public import Configuration
public import TLSPipe

extension TLSContext {
  /// The server's side as a configuration has it. Reads all files. Throws what `server(_:)` throws.
  public static func server(_ settings: TLSSettings) throws(TLSError) -> TLSContext {
    let further = settings.names.map { ServerIdentity(certificatePEM: $0.certificate, keyPEM: $0.key) }
    return try server([ServerIdentity(certificatePEM: settings.certificate, keyPEM: settings.key)] + further)
  }
}
