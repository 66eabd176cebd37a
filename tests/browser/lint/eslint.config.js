/** How `make check-pages` lints the page's scripts: modules for browsers, without a build between. */

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-unused-vars": ["error", { ignoreRestSiblings: true }], // a member is left out by naming it
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
