import Glibc

/// The command's arguments as they were given.
///
/// The standard library replaces bytes that are not UTF-8: what is stored or opened would be
/// something else.
package enum RawArguments {
  /// Refuses arguments that are no text.
  ///
  /// - Throws: ``BadArgument`` that says where bytes of any kind may stand.
  package static func check(_ arguments: [[UInt8]]) throws(BadArgument) {
    for (number, argument) in arguments.enumerated()
    where String(validating: argument, as: UTF8.self) == nil {
      let isMessage = arguments.prefix(2).elementsEqual(["queue", "send"]) {
        $0.elementsEqual($1.utf8)
      }
      let advice =
        isMessage
        ? "a body of any bytes goes into --body-file, or as bodyBase64 into a line of --stdin"
        : "give text, and rename files whose names are none"
      throw BadArgument(
        "argument \(number + 1), '\(String(decoding: argument, as: UTF8.self))', is not UTF-8; "
          + advice)
    }
  }

  /// The process's own arguments, without its name.
  package static var own: [[UInt8]] {
    var arguments: [[UInt8]] = []
    for index in 1..<max(1, Int(CommandLine.argc)) {
      // SAFETY: the process keeps that many arguments, each of which a zero ends.
      guard let argument = unsafe CommandLine.unsafeArgv[index] else { break }
      let bytes = unsafe UnsafeRawBufferPointer(start: argument, count: strlen(argument))
      arguments.append(unsafe [UInt8](bytes))
    }
    return arguments
  }
}
