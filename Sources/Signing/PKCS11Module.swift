internal import CPKCS11
import Glibc
import Synchronization

/// What a function of a PKCS#11 library returned, when it was not CKR_OK.
struct PKCS11Failure: Error, Equatable {
  let function: String
  let code: UInt
}

/// A PKCS#11 library that was loaded and initialised, once for the process however many keys and pools use it; never unloaded, because
/// libraries of HSMs start threads and do not take it well.
///
/// Called from several threads: it was initialised with CKF_OS_LOCKING_OK.
@safe
final class PKCS11Module: @unchecked Sendable {
  /// Why a library cannot be used.
  enum LoadFailure: Error {
    case unreadable(String)
    case notPKCS11
    case singleThreaded
    case failed(PKCS11Failure)
  }

  // The library's own table, in memory that goes with the library: never.
  private let functions: UnsafeMutablePointer<CK_FUNCTION_LIST>

  private static let loaded = Mutex<[String: PKCS11Module]>([:])

  /// The library at this path, loaded at the first call.
  static func load(_ path: String) throws(LoadFailure) -> PKCS11Module {
    let result = loaded.withLock { modules -> Result<PKCS11Module, LoadFailure> in
      if let module = modules[path] { return .success(module) }
      do throws(LoadFailure) {
        let module = try PKCS11Module(path)
        modules[path] = module
        return .success(module)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private init(_ path: String) throws(LoadFailure) {
    guard let library = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw .unreadable(unsafe dlerror().map { unsafe String(cString: $0) } ?? "no reason given")
    }
    guard let symbol = unsafe dlsym(library, "C_GetFunctionList") else {
      unsafe dlclose(library)
      throw .notPKCS11
    }
    let getList = unsafe unsafeBitCast(symbol, to: CK_C_GetFunctionList.self)
    var list: UnsafeMutablePointer<CK_FUNCTION_LIST>?
    let code = unsafe getList(&list)
    guard code == CKR_OK, let list = unsafe list else {
      unsafe dlclose(library)
      throw .failed(PKCS11Failure(function: "C_GetFunctionList", code: code))
    }
    unsafe functions = list
    var arguments = unsafe CK_C_INITIALIZE_ARGS()
    unsafe arguments.flags = CKF_OS_LOCKING_OK
    // Another part of the process may have been first, and that is fine.
    switch unsafe list.pointee.C_Initialize(&arguments) {
    case CKR_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED: break
    case CKR_CANT_LOCK: throw .singleThreaded
    case let code: throw .failed(PKCS11Failure(function: "C_Initialize", code: code))
    }
  }

  private func require(_ function: String, _ code: UInt) throws(PKCS11Failure) {
    if code != CKR_OK { throw PKCS11Failure(function: function, code: code) }
  }

  // MARK: Tokens

  /// What a token says of itself.
  struct Token {
    let slot: UInt
    let label: String
    let manufacturer: String
    let model: String
    let serial: String
    let wantsLogin: Bool
    /// The token asks for the PIN by itself, at a keypad.
    let hasKeypad: Bool
    let isPINLocked: Bool
  }

  /// The tokens that are present and initialised. One that cannot be read is passed over: it may be somebody else's.
  func tokens() throws(PKCS11Failure) -> [Token] {
    var count: UInt = 0
    try require("C_GetSlotList", unsafe functions.pointee.C_GetSlotList(UInt8(CK_TRUE), nil, &count))
    // A token may come between the two calls.
    var slots = [UInt](repeating: 0, count: Int(count) + 8)
    count = UInt(slots.count)
    try require("C_GetSlotList", unsafe functions.pointee.C_GetSlotList(UInt8(CK_TRUE), &slots, &count))
    return slots.prefix(Int(count)).compactMap { slot in
      var info = CK_TOKEN_INFO()
      guard unsafe functions.pointee.C_GetTokenInfo(slot, &info) == CKR_OK, info.flags & CKF_TOKEN_INITIALIZED != 0 else { return nil }
      return Token(
        slot: slot, label: PKCS11Module.text(info.label), manufacturer: PKCS11Module.text(info.manufacturerID),
        model: PKCS11Module.text(info.model), serial: PKCS11Module.text(info.serialNumber),
        wantsLogin: info.flags & CKF_LOGIN_REQUIRED != 0, hasKeypad: info.flags & CKF_PROTECTED_AUTHENTICATION_PATH != 0,
        isPINLocked: info.flags & CKF_USER_PIN_LOCKED != 0)
    }
  }

  /// A text of fixed length, padded with blanks (PKCS #11 v2.40 §3.1); some libraries pad with zeros.
  private static func text<Octets>(_ field: Octets) -> String {
    unsafe withUnsafeBytes(of: field) { octets in
      var end = octets.endIndex
      while end > 0, unsafe octets[end - 1] == 0x20 || octets[end - 1] == 0 { end -= 1 }
      return unsafe String(decoding: octets[..<end], as: UTF8.self)
    }
  }

  // MARK: Sessions

  /// Opens a session for reading.
  func openSession(_ slot: UInt) throws(PKCS11Failure) -> UInt {
    var session: UInt = 0
    try require("C_OpenSession", unsafe functions.pointee.C_OpenSession(slot, CKF_SERIAL_SESSION, nil, nil, &session))
    return session
  }

  func closeSession(_ session: UInt) { _ = unsafe functions.pointee.C_CloseSession(session) }

  /// Closes the sessions of the whole process with a token, which logs it out.
  func closeAllSessions(_ slot: UInt) { _ = unsafe functions.pointee.C_CloseAllSessions(slot) }

  /// Whether the process is logged in with the session's token as its user.
  func isLoggedIn(_ session: UInt) throws(PKCS11Failure) -> Bool {
    var info = CK_SESSION_INFO()
    try require("C_GetSessionInfo", unsafe functions.pointee.C_GetSessionInfo(session, &info))
    return info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS
  }

  /// Logs in as the user, for all sessions of the process with the token. Nil: the token asks at its keypad.
  func login(_ session: UInt, _ pin: SecretOctets?) throws(PKCS11Failure) {
    let code =
      if let pin {
        unsafe functions.pointee.C_Login(
          session, CKU_USER, pin.octets.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt(pin.count))
      } else {
        unsafe functions.pointee.C_Login(session, CKU_USER, nil, 0)
      }
    // Another thread was quicker.
    if code == CKR_USER_ALREADY_LOGGED_IN { return }
    try require("C_Login", code)
  }

  // MARK: Keys

  /// Private RSA keys of this label and identifier, as far as given; at most two.
  func privateKeys(_ session: UInt, label: String?, id: [UInt8]?) throws(PKCS11Failure) -> [UInt] {
    var kind = CKO_PRIVATE_KEY
    var type = CKK_RSA
    var label = label.map { Array($0.utf8) } ?? []
    var identifier = id ?? []
    let hasLabel = !label.isEmpty
    let hasID = !identifier.isEmpty
    let begun = unsafe withUnsafeMutableBytes(of: &kind) { kind in
      unsafe withUnsafeMutableBytes(of: &type) { type in
        unsafe label.withUnsafeMutableBytes { label in
          unsafe identifier.withUnsafeMutableBytes { identifier in
            var template = unsafe [PKCS11Module.attribute(CKA_CLASS, kind), PKCS11Module.attribute(CKA_KEY_TYPE, type)]
            if hasLabel { unsafe template.append(PKCS11Module.attribute(CKA_LABEL, label)) }
            if hasID { unsafe template.append(PKCS11Module.attribute(CKA_ID, identifier)) }
            return unsafe functions.pointee.C_FindObjectsInit(session, &template, UInt(template.count))
          }
        }
      }
    }
    try require("C_FindObjectsInit", begun)
    defer { _ = unsafe functions.pointee.C_FindObjectsFinal(session) }
    var keys: [UInt] = []
    // A library may give fewer than it is asked for.
    while keys.count < 2 {
      var key: UInt = 0
      var found: UInt = 0
      try require("C_FindObjects", unsafe functions.pointee.C_FindObjects(session, &key, 1, &found))
      if found == 0 { break }
      keys.append(key)
    }
    return keys
  }

  /// An attribute whose value is somebody else's, for the time of a call.
  @unsafe
  private static func attribute(_ type: UInt, _ value: UnsafeMutableRawBufferPointer) -> CK_ATTRIBUTE {
    unsafe CK_ATTRIBUTE(type: type, pValue: value.baseAddress, ulValueLen: UInt(value.count))
  }

  /// Whether the key wants the PIN for each signature. A token that does not know the attribute does not.
  func alwaysAuthenticates(_ session: UInt, _ key: UInt) -> Bool {
    var value: UInt8 = 0
    let code = unsafe withUnsafeMutableBytes(of: &value) { value in
      var attribute = unsafe CK_ATTRIBUTE(type: CKA_ALWAYS_AUTHENTICATE, pValue: value.baseAddress, ulValueLen: 1)
      return unsafe functions.pointee.C_GetAttributeValue(session, key, &attribute, 1)
    }
    return code == CKR_OK && value != 0
  }

  /// A signature by CKM_RSA_PKCS: the token pads `input` and raises it to the private exponent.
  func sign(_ session: UInt, _ key: UInt, _ input: [UInt8], maximumBytes: Int) throws(PKCS11Failure) -> [UInt8] {
    var mechanism = unsafe CK_MECHANISM(mechanism: CKM_RSA_PKCS, pParameter: nil, ulParameterLen: 0)
    try require("C_SignInit", unsafe functions.pointee.C_SignInit(session, &mechanism, key))
    var input = input
    var signature = [UInt8](repeating: 0, count: maximumBytes)
    var count = UInt(maximumBytes)
    try require("C_Sign", unsafe functions.pointee.C_Sign(session, &input, UInt(input.count), &signature, &count))
    return Array(signature.prefix(Int(min(count, UInt(maximumBytes)))))
  }
}
