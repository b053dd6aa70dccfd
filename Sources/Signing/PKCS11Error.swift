/// Why a key in a token could not be used: what is wrong, with which token, key and library, and what to do about it.
public struct PKCS11Error: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Fault: Sendable, Equatable {
    /// The library cannot be loaded; the loader's words.
    case noModule(String)
    /// The file is a library, and none for PKCS#11.
    case notPKCS11
    /// No token that is present fits the URI; the labels found.
    case noToken(found: [String])
    /// Several tokens fit; their serial numbers.
    case severalTokens(serials: [String])
    /// The token has no such private RSA key.
    case noKey
    /// The token has several such keys.
    case severalKeys
    /// The key wants the PIN anew for each signature (CKA_ALWAYS_AUTHENTICATE).
    case alwaysAuthenticate
    /// The token wants a PIN, and the URI names none.
    case noPINSource
    /// The PIN could not be read.
    case pin(PINFault)
    /// The token refused the PIN. It is not tried again with this configuration: a token locks itself after a few wrong ones.
    case wrongPIN
    /// The token has locked the PIN.
    case lockedPIN
    /// The token's PIN must be changed or set first.
    case unsetPIN
    /// The token has no more sessions to give.
    case sessions
    /// The key or the token does not do RSA by PKCS#1 v1.5 (CKM_RSA_PKCS).
    case noMechanism
    /// The library is not made for several threads.
    case singleThreaded
    /// The token or its connection failed: the function and what it returned. It was tried this many times.
    case device(function: String, code: String, tries: Int)
    /// The library returned something else.
    case call(function: String, code: String)
  }

  public let fault: Fault
  /// The key's URI without library and PIN source.
  public let key: String
  /// The library's path.
  public let module: String

  init(_ fault: Fault, _ uri: PKCS11URI) {
    self.fault = fault
    key = uri.description
    module = uri.modulePath
  }

  /// What is wrong, in one sentence.
  public var what: String {
    switch fault {
    case .noModule(let reason): "the PKCS#11 library cannot be loaded: \(reason)"
    case .notPKCS11: "the library is not a PKCS#11 library (it has no C_GetFunctionList)"
    case .noToken(let found):
      found.isEmpty ? "no token is present" : "no token that is present is the one named (found: \(found.joined(separator: ", ")))"
    case .severalTokens(let serials): "several tokens are like the one named (serial numbers: \(serials.joined(separator: ", ")))"
    case .noKey: "the token has no such private RSA key"
    case .severalKeys: "the token has several such private RSA keys"
    case .alwaysAuthenticate: "the key wants its PIN anew for each signature (CKA_ALWAYS_AUTHENTICATE)"
    case .noPINSource: "the token wants a PIN, and no pin-source is named"
    case .pin(let fault): fault.what
    case .wrongPIN: "the token refused the PIN"
    case .lockedPIN: "the token has locked its PIN after too many wrong ones"
    case .unsetPIN: "the token's user PIN is not set, has expired, or must be changed first"
    case .sessions: "the token has no more sessions to give"
    case .noMechanism: "the key does not make RSA signatures by PKCS#1 v1.5 (CKM_RSA_PKCS)"
    case .singleThreaded: "the PKCS#11 library cannot be used by several threads"
    case .device(let function, let code, let tries): "the token failed in \(function) with \(code), \(tries) times in a row"
    case .call(let function, let code): "\(function) returned \(code)"
    }
  }

  /// What to do about it.
  public var advice: String {
    switch fault {
    case .noModule, .notPKCS11: "Check module-path in the key's URI: the library comes with the HSM."
    case .noToken: "Check that the HSM is connected, and the URI's token, serial, model and manufacturer (pkcs11-tool -L lists them)."
    case .severalTokens: "Add serial=NUMBER to the URI."
    case .noKey: "Check object and id in the URI (pkcs11-tool -O --login lists them), and that the key is a private RSA key for signatures."
    case .severalKeys: "Add id=%01… to the URI: label and identifier together must name one key."
    case .alwaysAuthenticate: "Make the key without this attribute: a gateway signs without anybody at hand."
    case .noPINSource: "Add &pin-source=file:/path or &pin-source=credential:NAME to the URI."
    case .pin(let fault): fault.advice
    case .wrongPIN:
      "Correct the PIN's file, then reload or restart the gateway. It is not tried again before: a token locks itself after a few wrong ones."
    case .lockedPIN: "Have the security officer unlock it (C_InitPIN), then correct the PIN's file."
    case .unsetPIN: "Set the user PIN with the HSM's own tool, and write it into the PIN's file."
    case .sessions:
      "Let the gateway use fewer signing threads, close other programs' sessions, or raise the HSM's limit; a rollover needs twice as many."
    case .noMechanism: "Use a key that may sign (CKA_SIGN) by CKM_RSA_PKCS; some HSMs must be told to allow it."
    case .singleThreaded: "Ask the HSM's maker for a library that takes CKF_OS_LOCKING_OK."
    case .device: "Check the HSM and its connection; the gateway tries again with the next message."
    case .call: "See the HSM's own log; the code is explained in PKCS #11 v2.40 §11.1."
    }
  }

  public var description: String { "\(key) in \(module): \(what). \(advice)" }
}

/// The names of PKCS#11's return values (PKCS #11 v2.40 §11.1).
enum PKCS11Code {
  static func name(_ code: UInt) -> String { names[code] ?? "0x" + String(code, radix: 16) }

  /// Whether a session, its login or its objects are gone, so that a new session may do better.
  static func isLost(_ code: UInt) -> Bool { lost.contains(code) }

  // CKR_GENERAL_ERROR and CKR_FUNCTION_FAILED are what many libraries say when a connection has gone.
  private static let lost: Set<UInt> = [
    0x03, 0x05, 0x06, 0x30, 0x31, 0x32, 0x60, 0x82, 0x90, 0x91, 0xB0, 0xB3, 0xE0, 0xE1, 0x101,
  ]

  private static let names: [UInt: String] = [
    0x00: "CKR_OK", 0x01: "CKR_CANCEL", 0x02: "CKR_HOST_MEMORY", 0x03: "CKR_SLOT_ID_INVALID", 0x05: "CKR_GENERAL_ERROR",
    0x06: "CKR_FUNCTION_FAILED", 0x07: "CKR_ARGUMENTS_BAD", 0x09: "CKR_NEED_TO_CREATE_THREADS", 0x0A: "CKR_CANT_LOCK",
    0x11: "CKR_ATTRIBUTE_SENSITIVE", 0x12: "CKR_ATTRIBUTE_TYPE_INVALID", 0x13: "CKR_ATTRIBUTE_VALUE_INVALID",
    0x20: "CKR_DATA_INVALID", 0x21: "CKR_DATA_LEN_RANGE", 0x30: "CKR_DEVICE_ERROR", 0x31: "CKR_DEVICE_MEMORY",
    0x32: "CKR_DEVICE_REMOVED", 0x50: "CKR_FUNCTION_CANCELED", 0x54: "CKR_FUNCTION_NOT_SUPPORTED", 0x60: "CKR_KEY_HANDLE_INVALID",
    0x62: "CKR_KEY_SIZE_RANGE", 0x63: "CKR_KEY_TYPE_INCONSISTENT", 0x68: "CKR_KEY_FUNCTION_NOT_PERMITTED",
    0x70: "CKR_MECHANISM_INVALID", 0x71: "CKR_MECHANISM_PARAM_INVALID", 0x82: "CKR_OBJECT_HANDLE_INVALID",
    0x90: "CKR_OPERATION_ACTIVE", 0x91: "CKR_OPERATION_NOT_INITIALIZED", 0xA0: "CKR_PIN_INCORRECT", 0xA1: "CKR_PIN_INVALID",
    0xA2: "CKR_PIN_LEN_RANGE", 0xA3: "CKR_PIN_EXPIRED", 0xA4: "CKR_PIN_LOCKED", 0xB0: "CKR_SESSION_CLOSED", 0xB1: "CKR_SESSION_COUNT",
    0xB3: "CKR_SESSION_HANDLE_INVALID", 0xB4: "CKR_SESSION_PARALLEL_NOT_SUPPORTED", 0xD0: "CKR_TEMPLATE_INCOMPLETE",
    0xD1: "CKR_TEMPLATE_INCONSISTENT", 0xE0: "CKR_TOKEN_NOT_PRESENT", 0xE1: "CKR_TOKEN_NOT_RECOGNIZED",
    0x100: "CKR_USER_ALREADY_LOGGED_IN", 0x101: "CKR_USER_NOT_LOGGED_IN", 0x102: "CKR_USER_PIN_NOT_INITIALIZED",
    0x103: "CKR_USER_TYPE_INVALID", 0x104: "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", 0x105: "CKR_USER_TOO_MANY_TYPES",
    0x150: "CKR_BUFFER_TOO_SMALL", 0x190: "CKR_CRYPTOKI_NOT_INITIALIZED", 0x191: "CKR_CRYPTOKI_ALREADY_INITIALIZED",
    0x200: "CKR_FUNCTION_REJECTED",
  ]
}
