// Renders the server's own API description. The page's Content-Security-Policy
// lets it load nothing from elsewhere, and run no worker, which Redoc's search
// would need; the browser's own search finds everything on the page. Patterns
// are hidden because each of them is described in words.
'use strict';

Redoc.init('openapi.yaml', {
  disableSearch: true,
  expandResponses: '200,201',
  hideSchemaPattern: true,
  jsonSamplesExpandLevel: 4,
  nativeScrollbars: true,
  requiredPropsFirst: true,
  schemasExpansionLevel: 1,
  theme: {
    colors: {primary: {main: '#1f4e79'}},
    sidebar: {width: '250px'},
    spacing: {sectionVertical: 14},
    typography: {
      fontFamily: 'system-ui, sans-serif',
      headings: {fontFamily: 'system-ui, sans-serif'},
      code: {fontFamily: 'ui-monospace, monospace', wrap: true},
    },
  },
}, document.getElementById('docs'));
