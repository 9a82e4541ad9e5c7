// Nothing can be activated faster than an extension that does nothing.
exports.activate = () => undefined;
